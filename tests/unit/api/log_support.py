"""Real stores of log records, metrics and traces under the API, filled from OTLP bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api_parts import Setup
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from homeostat.api.parts import ApiParts
from homeostat.core.config import StorageConfig
from homeostat.core.log_patterns import LogMask
from homeostat.store.telemetry.log_store import EmbeddedLogStore
from homeostat.store.telemetry.metric_store import EmbeddedMetricStore
from support.spans import HandClock
from support.telemetry import L, logs_body, logs_table, metrics_body, metrics_table


@dataclass
class Kept:
    """The lanes of log records and metrics in a directory."""

    directory: Path
    logs: EmbeddedLogStore = field(init=False)
    metrics: EmbeddedMetricStore = field(init=False)

    def __post_init__(self) -> None:
        storage = StorageConfig(path=self.directory, min_free_mib=1)
        self.logs, self.metrics = EmbeddedLogStore(storage, HandClock()), EmbeddedMetricStore(storage, HandClock())
        assert [*self.logs.replay(), *self.metrics.replay()] == []

    def say(self, *records: L) -> None:
        """Store log records."""
        self.logs.add(logs_table(records), self.logs.append([logs_body(records)]))

    def measure(self, metrics: Sequence[Metric], service: str = "shop") -> None:
        """Store points."""
        self.metrics.add(metrics_table(metrics, service), self.metrics.append([metrics_body(metrics, service)]))

    def parts(self, setup: Setup, masks: Sequence[LogMask] = ()) -> ApiParts:
        """The parts of the API with these stores."""
        return setup.parts(logs=self.logs, metrics=self.metrics, log_masks=masks)
