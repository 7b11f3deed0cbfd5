"""Where telemetry comes in: one module per protocol, each turning requests into calls of ``Submit``."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from homeostat.observe.intake import Receipt

Submit = Callable[[bytes], Awaitable[Receipt]]
"""Take in one serialized ExportTraceServiceRequest; returns when it is durable (``Intake.submit``)."""


class Refuse(Protocol):
    """Counts refusals (``Counters.refuse``)."""

    def __call__(self, reason: str, count: int = 1, /) -> None:
        """``count``: one request as a whole, or so many single things where the reason says so."""
        ...
