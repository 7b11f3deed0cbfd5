"""Reads the statistics of one PostgreSQL. Built by ``drivers.sources`` from ``watch.postgres``.

Metric names are those of the OpenTelemetry Collector's PostgreSQL receiver; ``postgresql.query.*`` are ours.
"""

import logging
from typing import TYPE_CHECKING, Any, Final, LiteralString, cast

from homeostat.core.config import PostgresWatch
from homeostat.drivers.postgres import queries
from homeostat.drivers.postgres.statements import Row, SlowStatements, operation, sanitized
from homeostat.drivers.telemetry import Attributes, Metrics, Spans, UnreachableError
from homeostat.extras import install_command

if TYPE_CHECKING:
    from psycopg import AsyncConnection

log = logging.getLogger(__name__)

_CONNECT_WITHIN_S: Final = 5

_DATABASE_TOTALS: Final = {
    "xact_commit": ("postgresql.commits", "{transaction}"),
    "xact_rollback": ("postgresql.rollbacks", "{transaction}"),
    "blks_read": ("postgresql.blks_read", "{block}"),
    "blks_hit": ("postgresql.blks_hit", "{block}"),
    "tup_returned": ("postgresql.tup_returned", "{row}"),
    "tup_fetched": ("postgresql.tup_fetched", "{row}"),
    "tup_inserted": ("postgresql.tup_inserted", "{row}"),
    "tup_updated": ("postgresql.tup_updated", "{row}"),
    "tup_deleted": ("postgresql.tup_deleted", "{row}"),
    "deadlocks": ("postgresql.deadlocks", "{deadlock}"),
    "temp_files": ("postgresql.temp_files", "{file}"),
    "temp_bytes": ("postgresql.temp.io", "By"),
}


class PostgresReader:
    """One server. The connection is kept between looks; it can only read."""

    def __init__(self, watch: PostgresWatch) -> None:
        self._watch = watch
        self._connection: AsyncConnection[dict[str, Any]] | None = None
        self._slow = SlowStatements()
        self._address = ""
        self._told_of_statements = False
        self.name = f"PostgreSQL {watch.service}"

    @property
    def resource(self) -> Attributes:
        """Of everything that comes of it."""
        known: dict[str, str] = {"service.name": self._watch.service, "db.system.name": "postgresql"}
        return known | ({"service.instance.id": self._address} if self._address else {})

    @property
    def interval_s(self) -> float:
        """Between two looks."""
        return self._watch.interval.total_seconds()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def read(self, metrics: Metrics, spans: Spans) -> None:
        """Add figures and slow statements. Raises UnreachableError."""
        try:
            import psycopg
        except ImportError as error:
            raise UnreachableError(f"watch.postgres needs an extra: {install_command('postgres')}") from error
        try:
            await self._connect()
            metrics.resource = self.resource
            await self._figures(metrics)
            await self._statements(metrics)
            self._slow.look(await self._ask(queries.SLOW, self._watch.slow_statement), spans)
        except (psycopg.Error, OSError) as error:
            await self.close()
            advice = "Look at watch.postgres.dsn, whether the server runs, and whether the role may pg_monitor."
            raise UnreachableError(f"{str(error).strip() or type(error).__name__}. {advice}") from error

    async def _connect(self) -> None:
        from psycopg import AsyncConnection
        from psycopg.rows import DictRow, dict_row

        if self._connection is not None and not self._connection.closed:
            return
        connection = await AsyncConnection[DictRow].connect(
            self._watch.dsn, autocommit=True, connect_timeout=_CONNECT_WITHIN_S, row_factory=dict_row
        )
        self._connection = connection
        self._address = f"{connection.info.host}:{connection.info.port}"
        for setting in queries.SETTINGS:
            await connection.execute(cast("LiteralString", setting))

    async def _ask(self, query: str, *parameters: object) -> list[Row]:
        assert self._connection is not None
        cursor = await self._connection.execute(cast("LiteralString", query), parameters or None)
        return await cursor.fetchall()

    async def _figures(self, metrics: Metrics) -> None:
        for row in await self._ask(queries.DATABASES):
            where = {"postgresql.database.name": str(row["datname"])}
            metrics.gauge("postgresql.backends", row["numbackends"], "{connection}", where)
            metrics.gauge("postgresql.db_size", row["size"], "By", where)
            for column, (name, unit) in _DATABASE_TOTALS.items():
                metrics.total(name, row[column], unit, where)
        for row in await self._ask(queries.CONNECTIONS):
            metrics.gauge("postgresql.connections", row["count"], "{connection}", {"state": str(row["state"])})
        for row in await self._ask(queries.LOCKS):
            lock = {"mode": str(row["mode"]), "granted": bool(row["granted"])}
            metrics.gauge("postgresql.database.locks", row["count"], "{lock}", lock)
        for row in await self._ask(queries.MAX_CONNECTIONS):
            metrics.gauge("postgresql.connection.max", row["max"], "{connection}")
        for row in await self._ask(queries.REPLICAS):
            behind = None if row["behind"] is None else float(row["behind"])
            metrics.gauge("postgresql.replication.data_delay", behind, "By", {"replication_client": str(row["name"])})

    async def _statements(self, metrics: Metrics) -> None:
        """``pg_stat_statements``, where it is. Raises what the server says against it, once."""
        if not self._watch.top_statements:
            return
        found = await self._ask(queries.HAS_STATEMENTS)
        if not found:
            self._tell_of_statements("the extension is not there: CREATE EXTENSION pg_stat_statements")
            return
        import psycopg

        schema = '"' + str(found[0]["schema"]).replace('"', '""').replace("%", "%%") + '"'
        try:
            rows = await self._ask(queries.STATEMENTS.format(schema=schema), self._watch.top_statements)
        except psycopg.DatabaseError as error:  # not preloaded, or not allowed
            if (
                isinstance(error, psycopg.OperationalError)
                and self._connection is not None
                and self._connection.closed
            ):
                raise
            self._tell_of_statements(str(error).strip())
            return
        for row in rows:
            _statement(row, metrics)

    def _tell_of_statements(self, why: str) -> None:
        if not self._told_of_statements:
            self._told_of_statements = True
            log.warning(
                "%s: no figures of statements: %s. They need shared_preload_libraries = 'pg_stat_statements' and, in "
                "the database that watch.postgres.dsn names, CREATE EXTENSION pg_stat_statements.",
                self.name,
                why,
            )


def _statement(row: Row, metrics: Metrics) -> None:
    """One fingerprint: PostgreSQL has taken the values out of its text already, of utility statements not always."""
    text = sanitized(str(row["query"]))[:500]
    where = {
        "postgresql.queryid": str(row["queryid"]),
        "db.namespace": str(row["datname"]),
        "db.operation.name": operation(text),
        "db.query.text": text,
    }
    calls, seconds = float(row["calls"]), float(row["total_ms"]) / 1000
    metrics.total("postgresql.query.calls", calls, "{call}", where)
    metrics.total("postgresql.query.execution_time", seconds, "s", where)
    metrics.total("postgresql.query.rows", float(row["rows"]), "{row}", where)
    if calls:
        metrics.gauge("postgresql.query.mean_execution_time", seconds / calls, "s", where)
