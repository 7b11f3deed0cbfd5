"""Spans that cannot be, or should not: each has a rule, and none spoils what came with it."""

from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from homeostat.core.config import StorageConfig
from homeostat.observe.analysis.tree import tree_of
from homeostat.observe.counters import Counters
from homeostat.observe.decode.traces import ATTRIBUTES_MAX, decode
from homeostat.observe.red import Red
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.spans import NOON_S, HandClock, S, body, request, table, trace_hex


def _spans(built: ExportTraceServiceRequest) -> list[Span]:
    return list(built.resource_spans[0].scope_spans[0].spans)


def test_impossible_ids_are_refused_by_reason_and_the_rest_is_kept() -> None:
    built = request([S(1, number) for number in range(1, 6)])
    spans = _spans(built)
    spans[0].trace_id = bytes(16)
    spans[1].span_id = bytes(8)
    spans[2].trace_id = b"short"
    spans[3].parent_span_id = b"abc"
    decoded = decode([body([S(2, 1)]), built.SerializeToString()])
    good, mixed = decoded.outcomes
    assert (good.accepted, good.rejected, good.reasons) == (1, 0, ())
    assert (mixed.accepted, mixed.rejected) == (1, 4)
    assert dict(mixed.reasons) == {"zero_id": 2, "id_length": 2}
    assert decoded.spans["span_id"].to_pylist() == [(1).to_bytes(8), (5).to_bytes(8)]
    counters = Counters(HandClock())
    counters.add(decoded.outcomes, "traces")
    snapshot = counters.snapshot(stored=0, sampled_out=0, services=0)
    assert snapshot.refused == {"zero_id": 2, "id_length": 2}
    assert snapshot.spans_received == 2


@pytest.mark.parametrize("count", [ATTRIBUTES_MAX - 1, ATTRIBUTES_MAX, ATTRIBUTES_MAX + 1, 50_000])
def test_a_span_with_too_many_attributes_keeps_the_first_and_says_how_many_went(count: int) -> None:
    big = S(1, 2, attributes={f"k{number}": str(number) for number in range(count)})
    decoded = decode([body([S(1, 1, attributes={"a": "b"}), big, S(1, 3, attributes={"c": "d"})])])
    kept = min(count, ATTRIBUTES_MAX)
    first, middle, last = decoded.spans["attributes"].to_pylist()
    assert (first, last) == ([("a", "b")], [("c", "d")])
    assert middle == [(f"k{number}", str(number)) for number in range(kept)]
    assert decoded.spans["dropped_attributes"].to_pylist() == [0, count - kept, 0]
    (outcome,) = decoded.outcomes
    assert (outcome.accepted, outcome.rejected) == (3, 0)
    assert dict(outcome.reasons) == ({"attributes_cut": 1} if count > ATTRIBUTES_MAX else {})


def test_a_span_that_ends_before_it_starts_lasts_no_time() -> None:
    built = request([S(1, 1, at=-5)])
    (span,) = _spans(built)
    span.end_time_unix_nano = span.start_time_unix_nano - 10**9
    decoded = decode([built.SerializeToString()])
    assert decoded.spans["duration_ns"].to_pylist() == [0]
    red = Red(HandClock())
    red.fold(decoded.spans)
    (point,) = red.window(NOON_S - 60, NOON_S)
    assert (point.requests, point.duration_sum_ms) == (1, 0.0)


@pytest.mark.parametrize(
    "spans",
    [
        [S(1, 1, parent=1)],
        [S(1, 1, parent=2), S(1, 2, parent=1)],
        [S(1, 1), S(1, 2, parent=4), S(1, 3, parent=2), S(1, 4, parent=3), S(1, 5, parent=3)],
    ],
)
async def test_circles_of_parents_are_stored_and_end_no_reader(tmp_path: Path, spans: list[S]) -> None:
    store = EmbeddedTelemetryStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    list(store.replay())
    red = Red(HandClock())
    red.fold(table(spans))
    assert len(red.edges(NOON_S - 60, NOON_S + 60)) == 0
    store.add(table(spans), store.append([body(spans)]))
    trace = await store.trace(trace_hex(1))
    assert trace is not None
    tree = tree_of(trace)
    assert len(tree.nodes) == len(trace.spans) == len(spans)
    assert tree.circles >= 1


async def test_a_request_that_comes_twice_is_read_once(tmp_path: Path) -> None:
    store = EmbeddedTelemetryStore(StorageConfig(path=tmp_path, min_free_mib=1), HandClock())
    list(store.replay())
    spans = [S(1, 1), S(1, 2, parent=1)]
    for flush in (False, True, False):
        store.add(table(spans), store.append([body(spans)]))
        if flush:
            store.seal()
            store.flush()
    trace = await store.trace(trace_hex(1))
    assert trace is not None
    assert len(trace.spans) == 2
