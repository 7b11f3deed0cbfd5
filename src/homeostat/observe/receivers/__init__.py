"""Where telemetry comes in: one module per protocol, each turning requests into calls of ``Submit``."""

from collections.abc import Awaitable, Callable

from homeostat.observe.intake import Receipt

Submit = Callable[[bytes], Awaitable[Receipt]]
"""Take in one serialized ExportTraceServiceRequest; returns when it is durable (``Intake.submit``)."""

Refuse = Callable[[str], None]
"""Count a refusal by its reason (``Counters.refuse``)."""
