"""Which of two handlers reads a group of requests: the lean one, or the one that reads everything there can be.

Called by ``decode.traces``, ``decode.metrics`` and ``decode.logs``, each with handlers of its own.
"""

from collections.abc import Callable
from typing import Final, Protocol

import pyarrow as pa

from homeostat.core.errors import TelemetryRejectedError

FULL_CALLS: Final = 16
"""So often the full one reads alone after the lean one was not enough: who sends what it leaves out does so again."""


class Handler(Protocol):
    """What we use of ptars' ``MessageHandler``."""

    def list_to_record_batch(self, messages: list[bytes], /) -> pa.RecordBatch:
        """One row per message. Raises ValueError when one of them is malformed."""
        ...


class Choice:
    """The lean handler, unless it was not enough a short while ago. A race between threads costs only time."""

    def __init__(
        self, lean: Handler, full: Handler, *, message: str, column: str, is_enough: Callable[[pa.ListArray], bool]
    ) -> None:
        """``is_enough`` says of what the lean handler made whether it left anything out; ``column`` is the only
        field of ``message``, the request's name."""
        self._lean = lean
        self._full = full
        self._message = message
        self._column = column
        self._is_enough = is_enough
        self._full_left = 0

    def parse(self, requests: list[bytes]) -> pa.ListArray:
        """The requests as nested columns. Raises TelemetryRejectedError."""
        try:
            return self._parse(requests)
        except ValueError as error:
            raise self.malformed(error) from error

    def malformed(self, error: ValueError) -> TelemetryRejectedError:
        """What to raise where a part of the request that was left serialized turns out to be malformed."""
        return TelemetryRejectedError(f"The body is not an {self._message}: {error}")

    def _parse(self, requests: list[bytes]) -> pa.ListArray:
        if self._full_left <= 0:  # two threads at once may have counted below zero
            of_request = self._lean.list_to_record_batch(requests).column(self._column)
            if self._is_enough(of_request):
                return of_request
            self._full_left = FULL_CALLS
        self._full_left -= 1
        return self._full.list_to_record_batch(requests).column(self._column)
