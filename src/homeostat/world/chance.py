"""Chance without a coin: a number in [0, 1) that follows from a seed and from what is being decided.

Services in different processes decide about the same journey. A shared generator would make the outcome depend
on the order of requests; a hash of (seed, what, which) does not, so one seed means one history.
"""

import hashlib

_SCALE = float(1 << 64)


def share(seed: int, *what: str | int) -> float:
    """Uniform in [0, 1), the same for the same arguments on every machine."""
    text = "\x1f".join((str(seed), *map(str, what)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / _SCALE


def index(seed: int, length: int, *what: str | int) -> int:
    """Uniform in ``range(length)``; ``length`` must be positive."""
    return min(int(share(seed, *what) * length), length - 1)
