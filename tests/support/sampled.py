"""Spans and samplers for tests of tail sampling, in few words; the spans go through the real decoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.core.sampling import SamplingConfig
from homeostat.observe.decode.traces import decode
from homeostat.observe.sampling.sampler import Kept, Sampler
from homeostat.store.telemetry.schema import trace_keys

START_NS = 1_780_000_000 * 10**9
Value = str | int | float | bool


@dataclass(frozen=True)
class P:
    """A span. ``at`` and ``ms``: start after the beginning of time and duration, milliseconds."""

    trace: int = 1
    span: int = 1
    parent: int = 0
    service: str = "shop"
    name: str = "GET /"
    at: float = 0.0
    ms: float = 10.0
    status: int = 0
    state: str = ""
    flags: int = 0
    attributes: Mapping[str, Value] = field(default_factory=dict)
    resource: Mapping[str, Value] = field(default_factory=dict)


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)


def spans(*given: P) -> pa.Table:
    """The spans as they come out of the decoder."""
    request = ExportTraceServiceRequest()
    for one in given:
        resource_spans = request.resource_spans.add()
        for key, value in {"service.name": one.service, **one.resource}.items():
            resource_spans.resource.attributes.add(key=key, value=_value(value))
        start = START_NS + int(one.at * 1e6)
        built: Span = resource_spans.scope_spans.add().spans.add(
            trace_id=one.trace.to_bytes(16, "big"),
            span_id=one.span.to_bytes(8, "big"),
            parent_span_id=one.parent.to_bytes(8, "big") if one.parent else b"",
            name=one.name,
            trace_state=one.state,
            flags=one.flags,
            start_time_unix_nano=start,
            end_time_unix_nano=start + int(one.ms * 1e6),
        )
        built.status.code = one.status  # pyright: ignore[reportAttributeAccessIssue]
        for key, value in one.attributes.items():
            built.attributes.add(key=key, value=_value(value))
    return decode([request.SerializeToString()]).spans


def sampler(*policies: Mapping[str, object], seed: int = 7, **config: object) -> Sampler:
    """A sampler with these policies (default: the built-in ones); nothing is kept for being quiet unless asked."""
    given: dict[str, object] = {"quiet_traces_per_second": 0, **config}
    if policies:
        given["policies"] = list(policies)
    return Sampler(SamplingConfig.model_validate(given), seed=seed)


def forgetful(config: SamplingConfig) -> SamplingConfig:
    """The same, remembering next to no decision: fewer than may be configured."""
    few = config.decision_cache.model_copy(update={"sampled_cache_size": 2, "non_sampled_cache_size": 2})
    return config.model_copy(update={"decision_cache": few})


def policy(kind: str, name: str = "it", **settings: object) -> dict[str, object]:
    """A policy with its settings under its type."""
    return {"name": name, "type": kind, **({kind: settings} if settings else {})}


def kept_by(by: Sampler, *given: P) -> dict[int, tuple[float, str]]:
    """The traces that are kept when these spans have come and all is decided: probability and reason of each."""
    by.take(spans(*given), 1, 1, 0.0)
    made = by.due(10.0, force=True)
    return decided(made)


def decided(made: Kept | None) -> dict[int, tuple[float, str]]:
    """What a round kept."""
    return {} if made is None else reasons(made.spans)


def reasons(table: pa.Table) -> dict[int, tuple[float, str]]:
    """Probability and reason of each trace in a table."""
    found: dict[int, tuple[float, str]] = {}
    for batch in table.to_batches():
        keys = trace_keys(batch.column("trace_id")).tolist()
        columns = (batch.column(name).to_pylist() for name in ("sampling_probability", "sampling_reason"))
        for key, probability, reason in zip(keys, *columns, strict=True):
            assert found.setdefault(key, (probability, reason)) == (probability, reason)
    return found


def span_ids(tables: Sequence[pa.Table]) -> list[tuple[int, int]]:
    """Trace and span of every row."""
    rows = [row for table in tables for row in table.select(["trace_id", "span_id"]).to_pylist()]
    return [(int.from_bytes(row["trace_id"][8:], "big"), int.from_bytes(row["span_id"], "big")) for row in rows]
