"""What sensors measure, as OTLP, and the loop in which they do. Used by ``postgres``, ``redis`` and ``nginx``.

``app`` gives the ways into the store (``observe.receivers.submit``) and runs ``Telemetry.run``.
"""

import hashlib
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import anyio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as otlp
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from homeostat.background import Background
from homeostat.core.errors import HomeostatError
from homeostat.core.ports import Clock

log = logging.getLogger(__name__)

Submit = Callable[[bytes], Awaitable[object]]
Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]

_CUMULATIVE: Final = otlp.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
TEXT_CHARS_MAX: Final = 2000
READ_WITHIN_S: Final = 30.0
"""One look at one server: a client that waits for an answer does not notice that its peer has vanished."""

CLOSE_WITHIN_S: Final = 2.0


class Ways(Protocol):
    """Into the store: ``observe.receivers.submit.Submitters``."""

    @property
    def traces(self) -> Submit:
        """Takes a serialized ExportTraceServiceRequest."""
        ...

    @property
    def metrics(self) -> Submit:
        """Takes a serialized ExportMetricsServiceRequest."""
        ...


@dataclass(slots=True)
class Metrics:
    """The figures of one look at one server."""

    resource: Attributes
    time: datetime
    request: ExportMetricsServiceRequest = field(default_factory=ExportMetricsServiceRequest)
    _named: dict[str, otlp.Metric] = field(default_factory=dict[str, otlp.Metric])

    def gauge(self, name: str, value: float | None, unit: str = "1", attributes: Attributes | None = None) -> None:
        """A figure as it is now; None (not known) adds nothing."""
        if value is not None and math.isfinite(value):
            self._point(self._metric(name, unit).gauge.data_points.add(), value, attributes)

    def total(self, name: str, value: float | None, unit: str = "1", attributes: Attributes | None = None) -> None:
        """A figure that only grows while the server runs; None adds nothing."""
        if value is None or not math.isfinite(value):
            return
        metric = self._metric(name, unit)
        metric.sum.is_monotonic = True
        metric.sum.aggregation_temporality = _CUMULATIVE
        self._point(metric.sum.data_points.add(), value, attributes)

    def _metric(self, name: str, unit: str) -> otlp.Metric:
        if name not in self._named:
            if not self.request.resource_metrics:
                self.request.resource_metrics.add(resource=_resource(self.resource)).scope_metrics.add()
            metrics = self.request.resource_metrics[0].scope_metrics[0].metrics
            self._named[name] = metrics.add(name=name, unit=unit)
        return self._named[name]

    def _point(self, point: otlp.NumberDataPoint, value: float, attributes: Attributes | None) -> None:
        point.time_unix_nano = nanoseconds(self.time)
        point.as_double = value
        point.attributes.extend(_pairs(attributes or {}))


@dataclass(frozen=True, slots=True)
class Spans:
    """Spans that a server did not make itself. Ids come from the identity of what happened: twice is once."""

    resource: Attributes
    request: ExportTraceServiceRequest = field(default_factory=ExportTraceServiceRequest)

    def add(
        self,
        name: str,
        identity: str,
        start_ns: int,
        end_ns: int,
        attributes: Attributes,
        *,
        kind: Span.SpanKind.ValueType = Span.SpanKind.SPAN_KIND_INTERNAL,
        parent: tuple[bytes, bytes] | None = None,
        error: bool = False,
        scope: str = "",
    ) -> None:
        """``parent`` is trace id and span id; without one the span is the root of a trace of its own."""
        if not self.request.resource_spans:
            self.request.resource_spans.add(resource=_resource(self.resource))
        digest = hashlib.sha256(
            f"{self.resource.get('service.name')} {identity}".encode(errors="backslashreplace")
        ).digest()
        span = self._of_scope(scope).spans.add(
            trace_id=parent[0] if parent else digest[:16],
            span_id=digest[16:24],
            parent_span_id=parent[1] if parent else b"",
            name=name,
            kind=kind,
            start_time_unix_nano=start_ns,
            end_time_unix_nano=end_ns,
            attributes=_pairs(attributes),
        )
        if error:
            span.status.code = Status.StatusCode.STATUS_CODE_ERROR

    def _of_scope(self, name: str) -> ScopeSpans:
        made = self.request.resource_spans[0].scope_spans
        found = next((each for each in made if each.scope.name == name), None)
        return found if found is not None else made.add(scope=InstrumentationScope(name=name))

    def __len__(self) -> int:
        return sum(len(scope.spans) for each in self.request.resource_spans for scope in each.scope_spans)


def parent_in(text: str) -> tuple[bytes, bytes] | None:
    """Trace id and span id of the first W3C ``traceparent`` in a text; None where there is no valid one."""
    found = _TRACEPARENT.search(text)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return bytes.fromhex(found[1]), bytes.fromhex(found[2])


def nanoseconds(time: datetime) -> int:
    """Unix time."""
    return int(time.timestamp() * 1_000_000) * 1000


def _resource(attributes: Attributes) -> Resource:
    return Resource(attributes=_pairs(attributes))


def _pairs(attributes: Attributes) -> list[KeyValue]:
    pairs: list[KeyValue] = []
    for key, value in attributes.items():
        pair = KeyValue(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value[:TEXT_CHARS_MAX].encode(errors="replace").decode()
        pairs.append(pair)
    return pairs


class UnreachableError(HomeostatError):
    """A server that does not answer, or does not let us in."""


class Reader(Protocol):
    """One server that is looked at again and again."""

    @property
    def name(self) -> str:
        """For logs; no password is in it."""
        ...

    @property
    def resource(self) -> Attributes: ...
    @property
    def interval_s(self) -> float: ...

    async def read(self, metrics: Metrics, spans: Spans) -> None:
        """Add what is there now. Raises UnreachableError."""
        ...

    async def close(self) -> None:
        """Let go of the server."""
        ...


class Telemetry:
    """Looks at every server in its interval until cancelled. No server's trouble ends the others, or Homeostat."""

    def __init__(self, readers: list[Reader], ways: Ways, clock: Clock, background: Background | None = None) -> None:
        self._readers = readers
        self._ways = ways
        self._clock = clock
        self._background = background or Background(clock)
        self._down: set[str] = set()

    async def run(self) -> None:
        """Never returns of itself."""
        async with anyio.create_task_group() as tasks:
            for reader in self._readers:
                work = partial(self._keep_reading, reader)
                tasks.start_soon(partial(self._background.keep, "server", work, of=reader.name))

    async def _keep_reading(self, reader: Reader) -> None:
        try:
            while True:
                began = self._clock.monotonic()
                await self.look(reader)
                await anyio.sleep(max(0.0, reader.interval_s - (self._clock.monotonic() - began)))
        finally:
            await _close(reader)

    async def look(self, reader: Reader) -> None:
        """Look at one server once: its figures and ``up``, which is 0 when it can't be looked at.

        Raises what a reader has not declared, when that has been submitted.
        """
        metrics, spans = Metrics(reader.resource, self._clock.now()), Spans(reader.resource)
        try:
            await _read(reader, metrics, spans)
        except UnreachableError as error:
            self._tell_once(reader.name, str(error))
            metrics.gauge("up", 0)
        except Exception:
            metrics.gauge("up", 0)
            await self._submit(metrics, spans, reader.name)
            raise
        else:
            self._down.discard(reader.name)
            metrics.gauge("up", 1)
        await self._submit(metrics, spans, reader.name)

    async def _submit(self, metrics: Metrics, spans: Spans, name: str) -> None:
        try:
            await self._ways.metrics(metrics.request.SerializeToString())
            if len(spans):
                await self._ways.traces(spans.request.SerializeToString())
        except HomeostatError as error:  # the store says no: the next look may be taken
            log.warning("What %s showed was not taken: %s", name, error)

    def _tell_once(self, name: str, message: str) -> None:
        if name not in self._down:
            self._down.add(name)
            log.warning("%s is not reachable; it is tried again: %s", name, message)


async def _read(reader: Reader, metrics: Metrics, spans: Spans) -> None:
    """Raises UnreachableError, also where there is no answer in time: the next look connects anew."""
    try:
        with anyio.fail_after(READ_WITHIN_S):
            await reader.read(metrics, spans)
    except TimeoutError as error:
        await _close(reader)
        raise UnreachableError(
            f"no answer within {READ_WITHIN_S:g} s. Look at its load and the way to it."
        ) from error


async def _close(reader: Reader) -> None:
    with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
        await reader.close()
