"""The ways into the store that receivers are given, one per signal. Made by ``observe.pipeline``."""

from dataclasses import dataclass

from homeostat.observe.receivers import Submit


@dataclass(frozen=True, slots=True)
class Submitters:
    """Each takes one serialized OTLP request and returns when it is durable.

    All raise TelemetryRejectedError (malformed), OverloadedError, StoreFullError or StoreError (retry later).
    """

    traces: Submit  # ExportTraceServiceRequest
    metrics: Submit  # ExportMetricsServiceRequest
    logs: Submit  # ExportLogsServiceRequest
