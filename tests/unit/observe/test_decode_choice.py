"""Requests are read lean where that is enough; who sends more does not pay for both readings of each group."""

from collections.abc import Callable, Sequence
from types import ModuleType

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from homeostat.core.errors import TelemetryRejectedError
from homeostat.observe.decode import logs, metrics, traces
from homeostat.observe.decode.choice import FULL_CALLS, Choice, Handler
from homeostat.observe.decode.common import Decoded, decode_groups
from homeostat.observe.decode.counting import TRACE_LEVELS
from homeostat.store.telemetry.schema import SPAN_SCHEMA

Decode = Callable[[Sequence[bytes]], Decoded]


class Counted:
    """A handler that counts what it is asked for."""

    def __init__(self, inner: Handler) -> None:
        self._inner = inner
        self.calls = 0

    def list_to_record_batch(self, messages: list[bytes], /) -> pa.RecordBatch:
        self.calls += 1
        return self._inner.list_to_record_batch(messages)


def log_request(value: bool | str) -> bytes:
    request = ExportLogsServiceRequest()
    pair = request.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1).attributes.add(key="k")
    _set(pair.value, value)
    return request.SerializeToString()


def metric_request(value: bool | str) -> bytes:
    """With an exemplar where the value is no text."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    point = metric.gauge.data_points.add(time_unix_nano=1, as_double=2.0)
    if value is True:
        point.exemplars.add(time_unix_nano=1, as_double=3.0)
    return request.SerializeToString()


def exponential_request() -> bytes:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    point = metric.exponential_histogram.data_points.add(time_unix_nano=1, count=3)
    point.positive.bucket_counts.extend([1, 2])
    return request.SerializeToString()


def span_request(value: bool | str) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    _set(span.attributes.add(key="k").value, value)
    return request.SerializeToString()


def _set(target: object, value: bool | str) -> None:
    setattr(target, "bool_value" if isinstance(value, bool) else "string_value", value)


def decode_spans(requests: Sequence[bytes]) -> Decoded:
    """As it is done where our own walk was not built."""
    return decode_groups(requests, SPAN_SCHEMA, TRACE_LEVELS, traces._decode_list)


CASES = [
    pytest.param(logs, logs.decode_logs, log_request("v"), log_request(value=True), id="logs"),
    pytest.param(metrics, metrics.decode_metrics, metric_request("v"), metric_request(value=True), id="exemplars"),
    pytest.param(metrics, metrics.decode_metrics, metric_request("v"), exponential_request(), id="exponential"),
    pytest.param(traces, decode_spans, span_request("v"), span_request(value=True), id="traces"),
]


@pytest.fixture
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Counted, Counted]:
    """The two handlers of the case's module, counting, in a choice that remembers nothing yet."""
    module: ModuleType = request.node.callspec.params["module"]
    choice: Choice = module._CHOICE
    lean, full = Counted(choice._lean), Counted(choice._full)
    fresh = Choice(lean, full, message=choice._message, column=choice._column, is_enough=choice._is_enough)
    monkeypatch.setattr(module, "_CHOICE", fresh)
    return lean, full


@pytest.mark.parametrize(("module", "decode", "plain", "rare"), CASES)
def test_who_sends_what_the_lean_reading_leaves_out_pays_for_it_once_in_a_while(
    module: ModuleType, decode: Decode, plain: bytes, rare: bytes, counted: tuple[Counted, Counted]
) -> None:
    del module, plain
    lean, full = counted
    tables = [decode([rare]).table for _ in range(2 * FULL_CALLS)]
    assert (lean.calls, full.calls) == (2, 2 * FULL_CALLS)
    assert all(table.equals(tables[0]) for table in tables)


@pytest.mark.parametrize(("module", "decode", "plain", "rare"), CASES)
def test_either_reading_gives_the_same_rows_and_the_lean_one_comes_back(
    module: ModuleType, decode: Decode, plain: bytes, rare: bytes, counted: tuple[Counted, Counted]
) -> None:
    del module
    lean, full = counted
    by_lean = decode([plain])
    assert full.calls == 0
    decode([rare])
    by_full = [decode([plain]) for _ in range(FULL_CALLS - 1)]
    assert full.calls == FULL_CALLS
    calls = lean.calls
    assert decode([plain]).table.equals(by_lean.table)
    assert (lean.calls, full.calls) == (calls + 1, FULL_CALLS)
    assert all(one.table.equals(by_lean.table) and one.outcomes == by_lean.outcomes for one in by_full)


def test_a_count_that_two_threads_took_below_zero_ends_there() -> None:
    choice = logs._CHOICE
    lean, full = Counted(choice._lean), Counted(choice._full)
    raced = Choice(lean, full, message="X", column="resource_logs", is_enough=choice._is_enough)
    raced._full_left = -1
    raced.parse([log_request("v")])
    assert (lean.calls, full.calls) == (1, 0)


def test_a_malformed_body_is_refused_by_either_reading() -> None:
    choice = Choice(logs._LEAN, logs._FULL, message="X", column="resource_logs", is_enough=lambda _: False)
    for _ in range(2):
        with pytest.raises(TelemetryRejectedError, match="The body is not an X"):
            choice.parse([b"\x0a\xff"])
        choice.parse([log_request("v")])  # the next one is the full one's
