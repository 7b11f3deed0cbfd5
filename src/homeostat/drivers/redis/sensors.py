"""Reads ``INFO`` and the slow log of one Redis. Built by ``drivers.sources`` from ``watch.redis``.

Metric names are those of the OpenTelemetry Collector's Redis receiver.
"""

from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from homeostat.core.config import RedisWatch
from homeostat.core.red import SLOW_ONLY
from homeostat.drivers.telemetry import Attributes, Metrics, Spans, UnreachableError
from homeostat.extras import install_command

if TYPE_CHECKING:
    from redis.asyncio import Redis

_TIMEOUT_S: Final = 5.0
_SLOWLOG_MAX: Final = 128  # entries of one look
_DATABASES_MAX: Final = 64

_GAUGES: Final = {
    "uptime_in_seconds": ("redis.uptime", "s"),
    "connected_clients": ("redis.clients.connected", "{client}"),
    "blocked_clients": ("redis.clients.blocked", "{client}"),
    "used_memory": ("redis.memory.used", "By"),
    "used_memory_peak": ("redis.memory.peak", "By"),
    "used_memory_rss": ("redis.memory.rss", "By"),
    "maxmemory": ("redis.maxmemory", "By"),
    "mem_fragmentation_ratio": ("redis.memory.fragmentation_ratio", "1"),
    "instantaneous_ops_per_sec": ("redis.commands", "{ops}/s"),
    "connected_slaves": ("redis.slaves.connected", "{replica}"),
    "master_repl_offset": ("redis.replication.offset", "By"),
    "rdb_changes_since_last_save": ("redis.rdb.changes_since_last_save", "{change}"),
    "rdb_bgsave_in_progress": ("redis.rdb.bgsave_in_progress", "1"),
    "aof_enabled": ("redis.aof.enabled", "1"),
}
_TOTALS: Final = {
    "total_commands_processed": ("redis.commands.processed", "{command}"),
    "total_connections_received": ("redis.connections.received", "{connection}"),
    "rejected_connections": ("redis.connections.rejected", "{connection}"),
    "keyspace_hits": ("redis.keyspace.hits", "{hit}"),
    "keyspace_misses": ("redis.keyspace.misses", "{miss}"),
    "evicted_keys": ("redis.keys.evicted", "{key}"),
    "expired_keys": ("redis.keys.expired", "{key}"),
    "total_net_input_bytes": ("redis.net.input", "By"),
    "total_net_output_bytes": ("redis.net.output", "By"),
}
_GOOD: Final = {
    "rdb_last_bgsave_status": "redis.rdb.last_save_ok",
    "aof_last_write_status": "redis.aof.last_write_ok",
}


class RedisReader:
    """One server. The connection is kept between looks."""

    def __init__(self, watch: RedisWatch) -> None:
        self._watch = watch
        self._client: Redis | None = None
        self._run_id: str | None = None  # not looked yet
        self._seen: int | None = None  # newest known entry of the slow log; None: not known where its numbers stand
        self._missed = 0  # entries that the server dropped before they were read
        where = urlsplit(watch.url)
        self._address = where.netloc.rpartition("@")[2] or where.path
        self.name = f"Redis {self._address}"

    @property
    def resource(self) -> Attributes:
        """Of everything that comes of it."""
        return {"service.name": self._watch.service, "service.instance.id": self._address, "db.system.name": "redis"}

    @property
    def interval_s(self) -> float:
        """Between two looks."""
        return self._watch.interval.total_seconds()

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def read(self, metrics: Metrics, spans: Spans) -> None:
        """Add figures and slow commands. Raises UnreachableError."""
        from redis.exceptions import RedisError, ResponseError

        client = self._connected()
        try:
            info = await client.info()
            figures(info, metrics)
            try:
                entries = await client.slowlog_get(_SLOWLOG_MAX)
            except ResponseError:
                return  # a managed Redis may not show its slow log: the figures are worth having
        except (RedisError, OSError, ValueError) as error:
            await self.close()
            raise UnreachableError(f"{error}. Look at watch.redis.url, and whether the server runs.") from error
        self._tell_slow(entries, str(info.get("run_id", "")), spans)
        if self._seen is not None:  # of a log that never showed an entry nobody knows what it dropped
            metrics.total("redis.slowlog.missed", self._missed, "{entry}")

    def _tell_slow(self, entries: list[dict[str, Any]], run_id: str, spans: Spans) -> None:
        """What is new in the slow log as spans; and count what is gone, as the server numbers without a gap."""
        numbers = [int(entry["id"]) for entry in entries]
        if self._run_id is None:  # what was slow before the first look may have been told by an earlier Homeostat
            self._seen = max(numbers, default=None)
        elif run_id != self._run_id:
            self._seen = -1  # another run of the server: it numbers from the start
        elif self._seen is None and numbers:
            self._seen = min(numbers) - 1  # it was empty, which may be after a reset at any number
        self._run_id = run_id
        if self._seen is None or not numbers:
            return
        fresh = [entry for entry, number in zip(entries, numbers, strict=True) if number > self._seen]
        newest = max(self._seen, *numbers)
        self._missed += newest - self._seen - len(fresh)
        self._seen = newest
        slow_commands(fresh, run_id, spans)

    def _connected(self) -> "Redis":
        if self._client is None:
            try:
                from redis.asyncio import Redis
            except ImportError as error:
                raise UnreachableError(f"watch.redis needs an extra: {install_command('redis')}") from error
            self._client = Redis.from_url(
                self._watch.url,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                client_name="homeostat",
                max_connections=2,
            )
        return self._client


def figures(info: dict[str, Any], metrics: Metrics) -> None:
    """``INFO`` as metrics; what this Redis does not tell is left out."""
    for key, (name, unit) in _GAUGES.items():
        metrics.gauge(name, _number(info.get(key)), unit)
    for key, (name, unit) in _TOTALS.items():
        metrics.total(name, _number(info.get(key)), unit)
    for key, name in _GOOD.items():
        if key in info:
            metrics.gauge(name, float(info[key] == "ok"))
    for state in ("sys", "user"):
        metrics.total("redis.cpu.time", _number(info.get(f"used_cpu_{state}")), "s", {"state": state})
    if "role" in info:
        metrics.gauge("redis.role", 1, "{role}", {"role": str(info["role"])})
    if "master_link_status" in info:
        metrics.gauge("redis.replication.link_up", float(info["master_link_status"] == "up"))
    databases = [key for key, value in info.items() if key.startswith("db") and isinstance(value, dict)]
    for key in sorted(databases)[:_DATABASES_MAX]:
        database = cast("dict[str, Any]", info[key])
        metrics.gauge("redis.db.keys", _number(database.get("keys")), "{key}", {"db": key[2:]})
        metrics.gauge("redis.db.expires", _number(database.get("expires")), "{key}", {"db": key[2:]})


def slow_commands(entries: list[dict[str, Any]], run_id: str, spans: Spans) -> None:
    """Entries of the slow log as spans. Arguments are left out: they are data. Redis tells the second of the end."""
    for entry in entries:
        words = entry["command"].decode(errors="replace") if isinstance(entry["command"], bytes) else entry["command"]
        command = str(words).split(" ", 1)[0].upper()[:64] or "UNKNOWN"
        end_ns = int(entry["start_time"]) * 1_000_000_000
        attributes: dict[str, str | int] = {"db.system.name": "redis", "db.operation.name": command}
        attributes["db.query.text"] = f"{command} ?" if " " in str(words) else command
        if entry.get("client_address"):
            attributes["client.address"] = _text(entry["client_address"]).rpartition(":")[0]
        start_ns = end_ns - int(entry["duration"]) * 1000
        spans.add(command, f"{run_id} {entry['id']}", start_ns, end_ns, attributes, scope=SLOW_ONLY)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
