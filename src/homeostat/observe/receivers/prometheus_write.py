"""Prometheus remote-write (``POST /api/v1/write`` on the OTLP port): versions 1 and 2, as OTLP metrics.

Classic histograms come as the series that they are made of (``_bucket``, ``_sum``, ``_count``): a sender spreads
them over requests. Native histograms are exponential ones. Answers are 204 when all is durable, 400 for what must
not be sent again, 503 with Retry-After for what may be.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from google.protobuf.message import DecodeError

from homeostat.core.errors import HomeostatError, TelemetryRejectedError
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.body import (
    Bodies,
    Headers,
    Message,
    Receive,
    Send,
    answer,
    content_type,
    headers_of,
    refusal_headers,
)
from homeostat.observe.receivers.prometheus_otlp import (
    UNKNOWN_FAMILY,
    Family,
    Labels,
    Measured,
    OtlpMetrics,
    Resource,
    is_stale,
    resource_of,
)
from homeostat.observe.receivers.prometheus_proto import METADATA_1, SERIES_1, SERIES_2, TYPE_NAMES, dense
from homeostat.observe.receivers.protobuf import submessages
from homeostat.observe.receivers.refusal import refusal_of, wrong_method, wrong_type
from homeostat.observe.receivers.room import Place, Room

PATH: Final = "/api/v1/write"
_PROTOBUF: Final = b"application/x-protobuf"
_VERSION_2: Final = b"io.prometheus.write.v2.Request"
_VERSION_1: Final = b"prometheus.WriteRequest"
_FAMILIES_MAX: Final = 20_000
_SYMBOLS_MAX: Final = 1 << 20
_BUCKETS_MAX: Final = 10_000  # of one side of a native histogram
_CUSTOM_SCHEMA: Final = -53
_SCALES: Final = range(-4, 9)
_OUT_FACTOR: Final = 4  # labels repeat: so much larger than the largest request may become what it says


@dataclass(slots=True)
class Written:
    """What a request brought: payloads for the intake, and what version 2 tells its sender."""

    metrics: OtlpMetrics
    samples: int = 0
    histograms: int = 0
    exemplars: int = 0
    refused: int = 0  # histograms that can't be

    def headers(self) -> Headers:
        """The answer's headers."""
        names = (b"samples", b"histograms", b"exemplars")
        counts = (self.samples, self.histograms, self.exemplars)
        return [
            (b"x-prometheus-remote-write-" + name + b"-written", str(count).encode())
            for name, count in zip(names, counts, strict=True)
        ]


class Families:
    """Types, units and help texts that version 1 sends apart from the samples. Bounded; the oldest go.

    Thread-safe: large requests are read in threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Family] = OrderedDict()

    def learn(self, name: str, family: Family) -> None:
        """Remember what a family is."""
        with self._lock:
            self._known[name] = family
            self._known.move_to_end(name)
            if len(self._known) > _FAMILIES_MAX:
                self._known.popitem(last=False)

    def of(self, name: str) -> Family:
        """The family of a series: by its name, or its name without the ending that a part of a family has."""
        with self._lock:
            found = self._known.get(name)
            for suffix in ("_total", "_bucket", "_count", "_sum"):
                if found is None and name.endswith(suffix):
                    found = self._known.get(name.removesuffix(suffix))
        return found or UNKNOWN_FAMILY


class PrometheusWrite:
    """The ASGI application."""

    def __init__(self, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None) -> None:
        self._submit = submit
        self._refuse = refuse
        self._max_bytes = max_request_bytes
        self._bodies = Bodies(max_request_bytes, room)
        self._families = Families()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            with self._bodies.place() as place:
                written = await self._write(scope, receive, place)
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            headers = [(b"content-type", b"text/plain; charset=utf-8"), *refusal_headers(refusal)]
            await answer(send, refusal.http_status, refusal.message.encode(), headers)
            return
        await answer(send, 204, b"", written.headers())

    async def _write(self, scope: Message, receive: Receive, place: Place) -> Written:
        headers = headers_of(scope)
        if scope["method"] != "POST":
            raise wrong_method()
        version_2 = _is_version_2(headers)
        body = await self._bodies.read(headers, receive, place)
        read = read_2 if version_2 else partial(read_1, families=self._families)
        written = await self._bodies.work(len(body), partial(read, body, _OUT_FACTOR * self._max_bytes))
        payloads = await self._bodies.work(len(body), written.metrics.payloads)
        for payload in payloads:
            place.take(len(payload))
            await self._submit(payload)
        if written.refused:  # when the rest is taken: a request that is sent again is counted once
            self._refuse("prometheus_histogram", written.refused)
        return written


def _is_version_2(headers: dict[bytes, bytes]) -> bool:
    """Which message the sender says it is. Raises RefusedError for another."""
    given = headers.get(b"content-type", b"")
    _, _, parameter = given.partition(b"proto=")
    message = parameter.split(b";")[0].strip().strip(b'"') or _VERSION_1
    if content_type(headers) != _PROTOBUF or message not in {_VERSION_1, _VERSION_2}:
        raise wrong_type("application/x-protobuf with proto=io.prometheus.write.v2.Request, or without")
    return message == _VERSION_2


def read_1(body: bytes, bytes_max: int, families: Families) -> Written:
    """A version 1 ``WriteRequest``. Raises TelemetryRejectedError."""
    written = Written(OtlpMetrics(bytes_max))
    targets = _Targets()
    for number, part in submessages(body):
        if number == 3:
            about = _parsed(METADATA_1, part)
            kind = TYPE_NAMES[about.type] if 0 <= about.type < len(TYPE_NAMES) else "unknown"
            families.learn(about.metric_family_name, Family(kind, about.unit, about.help))
    for number, part in submessages(body):
        if number == 1:
            series = _parsed(SERIES_1, part)
            labels = {label.name: label.value for label in series.labels}
            exemplars = [({label.name: label.value for label in e.labels}, e) for e in series.exemplars]
            name = labels.pop("__name__", "")
            _add(written, targets, name, labels, series, exemplars, families.of(name), 0)
    return written


def read_2(body: bytes, bytes_max: int) -> Written:
    """A version 2 ``Request``. Raises TelemetryRejectedError."""
    written = Written(OtlpMetrics(bytes_max))
    targets = _Targets()
    symbols = _symbols(body)
    for number, part in submessages(body):
        if number == 5:
            series = _parsed(SERIES_2, part)
            labels = _looked_up(symbols, series.labels_refs)
            exemplars = [(_looked_up(symbols, e.labels_refs), e) for e in series.exemplars]
            about = series.metadata
            kind = TYPE_NAMES[about.type] if 0 <= about.type < len(TYPE_NAMES) else "unknown"
            family = Family(kind, _symbol(symbols, about.unit_ref), _symbol(symbols, about.help_ref))
            name = labels.pop("__name__", "")
            _add(written, targets, name, labels, series, exemplars, family, series.created_timestamp)
    return written


def _symbols(body: bytes) -> list[str]:
    symbols: list[str] = []
    for number, part in submessages(body):
        if number == 4:
            if len(symbols) >= _SYMBOLS_MAX:
                raise TelemetryRejectedError(f"There are more than {_SYMBOLS_MAX} symbols. Send smaller batches.")
            try:
                symbols.append(str(part, "utf-8"))
            except UnicodeDecodeError as error:
                raise TelemetryRejectedError(f"A symbol is not UTF-8: {error}") from error
    return symbols


def _symbol(symbols: list[str], reference: int) -> str:
    if reference >= len(symbols):
        if not reference:
            return ""
        raise TelemetryRejectedError(f"Symbol {reference} is named, and there are {len(symbols)}.")
    return symbols[reference]


def _looked_up(symbols: list[str], references: Any) -> Labels:
    if len(references) % 2:
        raise TelemetryRejectedError(f"{len(references)} label references are no pairs of name and value.")
    pairs: Iterator[int] = iter(references)
    return {_symbol(symbols, name): _symbol(symbols, value) for name, value in zip(pairs, pairs, strict=True)}


def _parsed(kind: Any, data: memoryview) -> Any:
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise TelemetryRejectedError(f"The body is not a remote-write request: {error}") from error


class _Targets:
    """Resources by job and instance: ``target_info`` of the same request tells more of them."""

    def __init__(self) -> None:
        self._more: dict[tuple[str, str], Labels] = {}

    def resource(self, name: str, labels: Labels) -> Resource:
        key = labels.get("job", ""), labels.get("instance", "")
        if name == "target_info":
            self._more[key] = {label: value for label, value in labels.items() if label not in {"job", "instance"}}
        return resource_of(labels, self._more.get(key))


def _add(
    written: Written,
    targets: _Targets,
    name: str,
    labels: Labels,
    series: Any,
    exemplars: list[tuple[Labels, Any]],
    family: Family,
    start_ms: int,
) -> None:
    if not name:
        raise TelemetryRejectedError("A series has no label __name__.")
    resource = targets.resource(name, labels)
    metrics = written.metrics
    point = None
    for sample in series.samples:
        start = getattr(sample, "start_timestamp", 0) or start_ms
        point = metrics.number(resource, name, labels, sample.value, sample.timestamp, family=family, start_ms=start)
        written.samples += 1
    for histogram in series.histograms:
        if _native(metrics, resource, name, labels, histogram, family, start_ms):
            written.histograms += 1
        else:
            written.refused += 1
    if point is not None and exemplars:
        metrics.measured([Measured(given, e.value, e.timestamp) for given, e in exemplars], point)
        written.exemplars += len(exemplars)


def _native(
    metrics: OtlpMetrics, resource: Resource, name: str, labels: Labels, given: Any, family: Family, start_ms: int
) -> bool:
    """Add a native histogram; False when OTLP has no such thing (counts that are no integers) or it is nonsense."""
    positive = dense(given.positive_spans, given.positive_deltas, _BUCKETS_MAX)
    negative = dense(given.negative_spans, given.negative_deltas, _BUCKETS_MAX)
    if positive is None or negative is None or given.positive_counts or given.negative_counts or given.count_float:
        return False
    if given.schema == _CUSTOM_SCHEMA:
        return _custom(metrics, resource, name, labels, given, positive, family, start_ms)
    if given.schema not in _SCALES:
        return False
    point = metrics.exponential(resource, name, labels, given.timestamp, family=family, start_ms=start_ms)
    if is_stale(given.sum):
        point.flags = 1
        return True
    point.count, point.sum, point.scale = given.count_int, given.sum, given.schema
    point.zero_count, point.zero_threshold = given.zero_count_int, given.zero_threshold
    for side, (first, counts) in ((point.positive, positive), (point.negative, negative)):
        side.offset = max(-(2**31), first - 1)  # Prometheus numbers a bucket by its upper edge, OTLP by its lower
        side.bucket_counts.extend(counts)
    return True


def _custom(
    metrics: OtlpMetrics,
    resource: Resource,
    name: str,
    labels: Labels,
    given: Any,
    positive: tuple[int, list[int]],
    family: Family,
    start_ms: int,
) -> bool:
    """A native histogram with bounds of its own."""
    first, counts = positive
    bounds = list(given.custom_values)
    if first < 0 or first + len(counts) > len(bounds) + 1 or len(bounds) > _BUCKETS_MAX:
        return False
    point = metrics.histogram(resource, name, labels, given.timestamp, family=family, start_ms=start_ms)
    point.count, point.sum = given.count_int, given.sum
    point.explicit_bounds.extend(bounds)
    point.bucket_counts.extend([0] * first + counts + [0] * (len(bounds) + 1 - first - len(counts)))
    return True
