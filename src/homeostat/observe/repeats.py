"""Requests that come again because their sender never got its answer. Used by the intakes of traces and of logs.

A log record has no identity, and a span is counted when it comes. So a whole request has one: what is the same as
another of the last minutes is acknowledged, and neither stored nor counted again. That is only done where each record
says its own time: then the same bytes are the same records. Metric points are told apart when they are read. Bounded
in time and number; what the log replays is known again after a restart.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import xxhash

from homeostat.core.ports import Clock

WINDOW_S: Final = 600.0
"""How long a request is known: exporters give up well before (OTLP's default: a minute; a collector's: five)."""

REQUESTS_MAX: Final = 20_000
"""So many are known, the newest: about 4 MB."""

Key = bytes
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Seen(Generic[Answer]):
    at_s: float
    answer: Answer


class Repeats(Generic[Answer]):
    """What was answered to the requests of the last minutes. Belongs to one thread.

    ``seed``: any number that senders can't guess.
    """

    def __init__(self, clock: Clock, *, seed: int = 0, at_most: int = REQUESTS_MAX) -> None:
        self._clock = clock
        self._seed = seed
        self._at_most = at_most
        self._seen: OrderedDict[Key, _Seen[Answer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def key_of(self, request: bytes) -> Key:
        """What a request is known by: 128 bits of hash over every byte (ten times as quick as writing them down)."""
        return xxhash.xxh3_128_digest(request, seed=self._seed)

    def answer(self, key: Key) -> Answer | None:
        """What was answered to this request; None: it was not here within the window."""
        seen = self._seen.get(key)
        return seen.answer if seen is not None and self._clock.monotonic() - seen.at_s <= WINDOW_S else None

    def remember(self, key: Key, answer: Answer) -> None:
        """The request is durable, and this is its answer."""
        now_s = self._clock.monotonic()
        self._seen[key] = _Seen(now_s, answer)
        self._seen.move_to_end(key)
        while self._seen:
            oldest = next(iter(self._seen.values()))
            if len(self._seen) <= self._at_most and now_s - oldest.at_s <= WINDOW_S:
                return
            self._seen.popitem(last=False)
