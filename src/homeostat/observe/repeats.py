"""Requests that come again because their sender never got its answer. Used by the intakes of traces and of logs.

A log record has no identity, and a span is counted when it comes. So a whole request has one: what is the same as
another of the last minutes is acknowledged, and neither stored nor counted again. That is only done where each record
says its own time: then the same bytes are the same records. Metric points are told apart when they are read. Bounded
in time and number; what the log replays is known again after a restart.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from homeostat.core.ports import Clock

WINDOW_S: Final = 600.0
"""How long a request is known: exporters give up well before (OTLP's default: a minute; a collector's: five)."""

REQUESTS_MAX: Final = 20_000
"""So many are known, the newest: about 4 MB."""

_END_BYTES: Final = 4096
"""Of a long request its length, its beginning and its end are compared: the times of dozens of records, in ns."""

Key = tuple[int, bytes]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Seen(Generic[Answer]):
    at_s: float
    answer: Answer


def key_of(request: bytes) -> Key:
    """What a request is known by."""
    ends = request if len(request) <= 2 * _END_BYTES else request[:_END_BYTES] + request[-_END_BYTES:]
    return len(request), hashlib.blake2b(ends, digest_size=16).digest()


class Repeats(Generic[Answer]):
    """What was answered to the requests of the last minutes. Belongs to one thread."""

    def __init__(self, clock: Clock, *, at_most: int = REQUESTS_MAX) -> None:
        self._clock = clock
        self._at_most = at_most
        self._seen: OrderedDict[Key, _Seen[Answer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

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
