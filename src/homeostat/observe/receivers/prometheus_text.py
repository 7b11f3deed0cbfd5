"""What a scraped target shows, as OTLP metrics: Prometheus' text format and OpenMetrics. For ``prometheus_scrape``.

The parsers are those of Prometheus' own client library.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample

from homeostat.core.errors import BadRequestError
from homeostat.observe.receivers.prometheus_otlp import Family, Labels, Measured, OtlpMetrics, Resource, milliseconds

SAMPLES_MAX: Final = 100_000
"""Of one scrape: what shows more is refused as a whole, as Prometheus' sample_limit does."""

STALE: Final = float.fromhex("nan")
_OPENMETRICS: Final = "application/openmetrics-text"

LabelKey = tuple[tuple[str, str], ...]
SeriesKey = tuple[str, str, LabelKey]
"""Shape (number, histogram or summary), name, labels: what is told to have ended when it is shown no more."""


@dataclass(slots=True)
class Shown:
    """One scrape's answer."""

    families: list[Metric]
    samples: int
    info: Labels = field(default_factory=Labels)  # of ``target_info``: attributes of the resource


def read(body: str, content_type: str) -> Shown:
    """Parse. Raises BadRequestError, with what is wrong."""
    parse = read_openmetrics if content_type.startswith(_OPENMETRICS) else read_text
    families: list[Metric] = []
    samples, info = 0, Labels()
    try:
        for family in parse(body):
            families.append(family)
            samples += len(family.samples)
            if samples > SAMPLES_MAX:
                raise BadRequestError(f"More than {SAMPLES_MAX} samples are shown. Show fewer series.")
            if family.name in {"target", "target_info"}:
                info |= {key: value for sample in family.samples for key, value in sample.labels.items()}
    except (ValueError, KeyError, IndexError, TypeError) as error:  # what the parsers raise for text that is none
        raise BadRequestError(f"What is shown is not Prometheus' text: {str(error)[:200]}") from error
    return Shown(families, samples, info)


@dataclass(slots=True)
class Translation:
    """Adds what was shown to ``metrics``; remembers which series there were."""

    metrics: OtlpMetrics
    resource: Resource
    target_labels: Mapping[str, str]
    time_ms: int
    series: dict[SeriesKey, Family] = field(default_factory=dict[SeriesKey, Family])
    refused: int = 0

    def add(self, shown: Shown) -> None:
        """Add every family."""
        for metric in shown.families:
            family = Family(metric.type, metric.unit, metric.documentation)
            created = {self._key(s): s.value for s in metric.samples if s.name == f"{metric.name}_created"}
            match metric.type:
                case "histogram":
                    self._grouped(metric, family, created, "le")
                case "summary":
                    self._grouped(metric, family, created, "quantile")
                case _:
                    self._numbers(metric, family, created)

    def number(self, name: str, value: float, family: Family) -> None:
        """Add a number about the scrape itself."""
        self.metrics.number(self.resource, name, dict(self.target_labels), value, self.time_ms, family=family)

    def end(self, ended: Mapping[SeriesKey, Family]) -> None:
        """Say of series that they have no value any more."""
        for (shape, name, key), family in ended.items():
            add = {
                "number": self._stale_number,
                "histogram": self.metrics.histogram,
                "summary": self.metrics.summary,
            }[shape]
            add(self.resource, name, dict(key), self.time_ms, family=family).flags = 1

    def _stale_number(self, resource: Resource, name: str, labels: Labels, time_ms: int, *, family: Family) -> Any:
        return self.metrics.number(resource, name, labels, 0.0, time_ms, family=family)

    def _labels(self, labels: Mapping[str, str]) -> Labels:
        """Labels as Prometheus stores them: the target's win, a sample's own of the same name is ``exported_``."""
        reserved = {"job", "instance", *self.target_labels}
        own = {f"exported_{key}" if key in reserved else key: value for key, value in labels.items()}
        return own | dict(self.target_labels)

    def _key(self, sample: Sample, without: str = "") -> LabelKey:
        return tuple(sorted((key, value) for key, value in sample.labels.items() if key != without))

    def _time_ms(self, sample: Sample) -> int:
        return self.time_ms if sample.timestamp is None else milliseconds(float(sample.timestamp))

    def _seen(self, shape: str, name: str, labels: Labels, family: Family) -> None:
        self.series[shape, name, tuple(sorted(labels.items()))] = family

    def _numbers(self, metric: Metric, family: Family, created: Mapping[LabelKey, float]) -> None:
        for sample in metric.samples:
            if sample.name == f"{metric.name}_created" and metric.type == "counter":
                continue
            labels = self._labels(sample.labels)
            start_ms = milliseconds(created.get(self._key(sample), 0))
            point = self.metrics.number(
                self.resource,
                sample.name,
                labels,
                sample.value,
                self._time_ms(sample),
                family=family,
                start_ms=start_ms,
            )
            self.metrics.measured(list(_exemplars([sample], self.time_ms)), point)
            if sample.timestamp is None:
                self._seen("number", sample.name, labels, family)

    def _grouped(self, metric: Metric, family: Family, created: Mapping[LabelKey, float], by: str) -> None:
        """Samples that are one point together: a histogram's buckets (``le``) or a summary's quantiles."""
        groups: dict[LabelKey, list[Sample]] = {}
        for sample in metric.samples:
            if sample.name != f"{metric.name}_created":
                groups.setdefault(self._key(sample, by), []).append(sample)
        for key, samples in groups.items():
            labels, time_ms = self._labels(dict(key)), self._time_ms(samples[0])
            start_ms = milliseconds(created.get(key, 0))
            parts = _Parts.of(metric.name, samples, by)
            if parts is None:
                self.refused += 1
                continue
            if by == "le":
                point = self.metrics.histogram(
                    self.resource, metric.name, labels, time_ms, family=family, start_ms=start_ms
                )
                parts.fill_histogram(point)
                self.metrics.measured(list(_exemplars(samples, self.time_ms)), point)
            else:
                parts.fill_summary(
                    self.metrics.summary(
                        self.resource, metric.name, labels, time_ms, family=family, start_ms=start_ms
                    )
                )
            self._seen("histogram" if by == "le" else "summary", metric.name, labels, family)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a histogram or summary is made of."""

    steps: list[tuple[float, float]]  # by le or quantile
    total: float
    count: int

    @classmethod
    def of(cls, name: str, samples: Iterable[Sample], by: str) -> "_Parts | None":
        """None: its parts make no sense (edges that are no numbers, buckets that fall, counts that are not whole)."""
        try:
            steps = {float(sample.labels[by]): sample.value for sample in samples if by in sample.labels}
        except ValueError:
            return None
        named = {sample.name: sample.value for sample in samples if by not in sample.labels}
        if any(math.isnan(step) for step in steps):
            return None
        ordered = sorted(steps.items())
        count = named.get(f"{name}_count", ordered[-1][1] if ordered and by == "le" else 0.0)
        if by == "le":
            values = [value for _, value in ordered]
            if not values or values != sorted(values) or not all(_whole(value) for value in values):
                return None
        return cls(ordered, named.get(f"{name}_sum", math.nan), int(count)) if _whole(count) else None

    def fill_histogram(self, point: Any) -> None:
        """Bounds, and counts that are each bucket's own."""
        point.explicit_bounds.extend(edge for edge, _ in self.steps if not math.isinf(edge))
        running = [int(value) for _, value in self.steps]
        if not math.isinf(self.steps[-1][0]):
            running.append(max(running[-1], self.count))
        point.bucket_counts.extend(b - a for a, b in zip([0, *running], running, strict=False))
        point.count = running[-1]
        if not math.isnan(self.total):
            point.sum = self.total

    def fill_summary(self, point: Any) -> None:
        """Quantiles, sum and count."""
        point.count = self.count
        point.sum = 0.0 if math.isnan(self.total) else self.total
        for quantile, value in self.steps:
            point.quantile_values.add(quantile=quantile, value=value)


def _whole(value: float) -> bool:
    return 0 <= value < 2**63 and float(value).is_integer()


def _exemplars(samples: Iterable[Sample], time_ms: int) -> Iterator[Measured]:
    for sample in samples:
        given = sample.exemplar
        if given is not None:
            at = time_ms if given.timestamp is None else milliseconds(float(given.timestamp))
            yield Measured(given.labels, given.value, at)
