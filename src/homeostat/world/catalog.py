"""The real work behind the steps that read: a query over a small SQLite database, with a cache in front.

``cacheEnabled`` decides whether the cache is asked. Without it every Browse Products, Account Overview or
Transaction History costs a scan of the table, some milliseconds of CPU: slower because there is more to do.
"""

import sqlite3
from dataclasses import dataclass

from homeostat.core.ports import Clock
from homeostat.world.chance import index, share

READ_STEPS = ("browse", "overview", "history", "discovery", "search")
"""A step whose name contains one of these words reads the catalogue."""

ROWS = 20_000
GROUPS = 8
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron")


def is_read_step(step: str) -> bool:
    """Does this step read (rather than change) something?"""
    lowered = step.lower()
    return any(word in lowered for word in READ_STEPS)


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer to one read: how many rows matched, their total in cents, and where the answer came from."""

    rows: int
    total_cents: int
    source: str  # hit | miss | off


class Catalog:
    """The table of one service, filled at its first use, and the cache of its answers."""

    def __init__(self, service: str, seed: int, ttl_s: float, clock: Clock) -> None:
        self._service = service
        self._seed = seed
        self._ttl_s = ttl_s
        self._clock = clock
        self._database: sqlite3.Connection | None = None
        self._cached: dict[tuple[str, int], tuple[float, int, int]] = {}  # bounded: one entry per step and group

    def look_up(self, step: str, key: str, *, use_cache: bool) -> Lookup:
        """What a customer sees who reads on behalf of the journey ``key``. Takes milliseconds when not cached."""
        group = index(self._seed, GROUPS, "group", key)
        if not use_cache:
            return Lookup(*self._query(group), "off")
        now = self._clock.monotonic()
        cached = self._cached.get((step, group))
        if cached is not None and cached[0] > now:
            return Lookup(cached[1], cached[2], "hit")
        rows, total = self._query(group)
        if len(self._cached) > GROUPS * 32:
            self._cached.clear()
        self._cached[step, group] = (now + self._ttl_s, rows, total)
        return Lookup(rows, total, "miss")

    def _query(self, group: int) -> tuple[int, int]:
        database = self._database or self._fill()
        row = database.execute(
            "SELECT count(*), total(cents) FROM items WHERE name LIKE ? OR note LIKE ?",
            (f"%{_WORDS[group]}-9%", f"%{_WORDS[group]} 77%"),
        ).fetchone()
        return int(row[0]), int(row[1])

    def _fill(self) -> sqlite3.Connection:
        database = sqlite3.connect(":memory:")
        database.execute("CREATE TABLE items (name TEXT, note TEXT, cents INTEGER)")
        offset = int(share(self._seed, self._service) * 1_000)
        database.executemany(
            "INSERT INTO items VALUES (?, ?, ?)",
            (
                (
                    f"{_WORDS[number % GROUPS]}-{number + offset}",
                    f"{_WORDS[(number // 7) % GROUPS]} {number}",
                    100 + (number * 7919) % 50_000,
                )
                for number in range(ROWS)
            ),
        )
        self._database = database
        return database
