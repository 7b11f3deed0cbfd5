"""Servers whose telemetry Homeostat reads itself: from ``watch`` to the loop that reads them. ``app`` calls this."""

from homeostat.background import Background
from homeostat.core.config import WatchConfig
from homeostat.core.ports import Clock
from homeostat.drivers.nginx.sensors import NginxReader
from homeostat.drivers.postgres.sensors import PostgresReader
from homeostat.drivers.redis.sensors import RedisReader
from homeostat.drivers.telemetry import Reader, Telemetry, Ways


def telemetry_of(watch: WatchConfig, ways: Ways, clock: Clock, background: Background | None = None) -> Telemetry:
    """Everything that ``watch`` names beside processes; run it with ``Telemetry.run``."""
    readers: list[Reader] = [*map(PostgresReader, watch.postgres), *map(RedisReader, watch.redis)]
    readers += map(NginxReader, watch.nginx)
    return Telemetry(readers, ways, clock, background)
