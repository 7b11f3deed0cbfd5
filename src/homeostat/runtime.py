"""The real clock, chance and identity. The only place (with ``sim``) where they are made."""

import random
import secrets
import time
from datetime import UTC, datetime


class SystemClock:
    """Clock over the operating system's."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


def system_random(seed: int | None = None) -> random.Random:
    """Chance: repeatable with a seed, from the operating system without."""
    return random.Random(seed) if seed is not None else random.SystemRandom()


class SystemIds:
    """Ids that sort by time: milliseconds in base 16, then 48 random bits."""

    def new(self, prefix: str) -> str:
        """``<prefix>-<time><random>``."""
        return f"{prefix}-{time.time_ns() // 1_000_000:011x}{secrets.token_hex(6)}"
