"""The way to a ClickHouse: SQL with bound parameters in, Arrow out. Used by everything in this package.

``HttpEngine`` speaks to a server through clickhouse-connect (the extra ``clickhouse``). Values never
become part of the SQL text: they go as ``{name:Type}`` parameters, which the server binds.
"""

import threading
from collections.abc import Mapping, Sequence
from io import IOBase
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol, cast
from urllib.parse import urlsplit

import pyarrow as pa

from homeostat.core.config import ClickHouseConfig
from homeostat.core.errors import BadRequestError, StoreError
from homeostat.extras import install_command

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

Value = str | int | float | Sequence[str]
Parameters = Mapping[str, Value]

_CONNECT_S: Final = 5
_ANSWER_S: Final = 60
_QUESTION_S: Final = 30
_MEMORY_BYTES: Final = 4 << 30
ANSWER_BYTES_MAX: Final = 1 << 30
"""What an answer may hold here, as Arrow. It is read as it comes, and no further than this."""

LIMITS: Final = {"max_execution_time": _QUESTION_S, "max_memory_usage": _MEMORY_BYTES}
"""Settings of every question: what a server spends on one is bounded."""

INSERT_SETTINGS: Final = {
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "async_insert": 0,
    "max_partitions_per_insert_block": 0,
}
"""Settings of every insert: one that is repeated is not counted twice, it has happened when it returns, and rows may
be of any number of days. Days are partitions, of which a server takes 100 an insert by default: a part with spans of
more would be refused each time it is tried, and nothing would be written behind it."""


class Engine(Protocol):
    """A ClickHouse with one database chosen. Safe to use from several threads.

    Every method raises StoreError, whose message says what to do; whatever it is, it may work later.
    """

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """What a SELECT answers. Raises BadRequestError for more than ``ANSWER_BYTES_MAX``."""
        ...

    def command(self, sql: str) -> None:
        """Run a statement without an answer."""
        ...

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Append rows, by the names of their columns; a block with a token that came before is left out."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class HttpEngine:
    """A server, over its HTTP interface."""

    def __init__(self, config: ClickHouseConfig, password: str | None = None) -> None:
        """Does not connect yet. Raises StoreError without the extra."""
        self._config = config
        self._password = config.password or password or ""
        self._client: Client | None = None
        self._connecting = threading.Lock()
        _library()

    def query(self, sql: str, parameters: Parameters | None = None) -> pa.Table:
        """See ``Engine``."""
        try:
            client = self._connected()
            answer = client.raw_stream(sql, dict(parameters or {}), settings=LIMITS, fmt="ArrowStream")
            with cast("IOBase", answer) as stream:
                return read_stream(stream)
        except BadRequestError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def command(self, sql: str) -> None:
        """See ``Engine``."""
        try:
            self._connected().command(sql)
        except Exception as error:
            raise self._failed(error) from error

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """See ``Engine``."""
        settings = INSERT_SETTINGS | {"insert_deduplication_token": token}
        names = rows.schema.names
        try:
            self._connected().raw_insert(table, names, write_stream(rows), settings, fmt="ArrowStream")
        except Exception as error:
            raise self._failed(error) from error

    @property
    def database(self) -> str:
        """Where its tables are."""
        return self._config.database

    def close(self) -> None:
        """See ``Engine``."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> "Client":
        """The client, connected at the first question; the database is made where it is missing."""
        with self._connecting:  # the flush thread and questions come at once: one connects, the others wait for it
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> "Client":
        parts = urlsplit(self._config.url)
        options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or (8443 if parts.scheme == "https" else 8123),
            "interface": parts.scheme,
            "username": self._config.user,
            "password": self._password,
            "connect_timeout": _CONNECT_S,
            "send_receive_timeout": _ANSWER_S,
            "autogenerate_session_id": False,  # a session would let only one thread ask at a time
            "form_encode_query_params": True,  # a thousand trace ids don't fit into a URL
        }
        first = _library().get_client(**options)
        try:
            named = {"name": self._config.database}
            if not int(str(first.command("SELECT count() FROM system.databases WHERE name = {name:String}", named))):
                first.command(f"CREATE DATABASE IF NOT EXISTS {quoted(self._config.database)}")
        finally:
            first.close()
        return _library().get_client(database=self._config.database, **options)

    def _failed(self, error: Exception) -> StoreError:
        reason = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
        return StoreError(
            f"ClickHouse at {self._config.url} (database {self._config.database}) does not do what it is asked: "
            f"{reason}. Check the server and storage.clickhouse. What was acknowledged is in the log: retry later."
        )


def _library() -> ModuleType:
    try:
        import clickhouse_connect
    except ImportError as error:
        raise StoreError(
            f"storage.clickhouse is set, and its client is not installed: {install_command('clickhouse')}"
        ) from error
    return clickhouse_connect


def quoted(identifier: str) -> str:
    """An identifier for SQL text."""
    escaped = identifier.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def read_stream(answer: bytes | IOBase) -> pa.Table:
    """An answer in the format ``ArrowStream``. Raises BadRequestError for more than ``ANSWER_BYTES_MAX``."""
    batches: list[pa.RecordBatch] = []
    size = 0
    with pa.ipc.open_stream(answer) as reader:
        for batch in reader:
            size += batch.nbytes
            if size > ANSWER_BYTES_MAX:
                raise BadRequestError(
                    f"The answer has more than {ANSWER_BYTES_MAX >> 20} MiB. Ask for less time, or for one service."
                )
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def write_stream(rows: pa.Table) -> bytes:
    """Rows in the format ``ArrowStream``."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()
