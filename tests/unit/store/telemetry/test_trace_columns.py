"""A trace as columns is the trace: the same spans in the same order, whatever their parents and clocks say."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.config import StorageConfig
from homeostat.core.models import Trace
from homeostat.core.trace_columns import NO_PARENT, PARENT_MISSING, SPAN_ID_DIGITS, TraceColumns
from homeostat.observe.analysis.columns import analyse_columns
from homeostat.observe.analysis.times import analyse
from homeostat.observe.decode.traces import decode
from homeostat.store.telemetry.schema import KINDS, STATUSES
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.spans import NOON, HandClock, S, body, trace_hex

SPANS = st.builds(
    S,
    span=st.integers(1, 12),
    parent=st.integers(0, 14),  # missing, its own, or in a ring
    service=st.sampled_from(["shop", "bank", "متجر", "🛒"]),
    name=st.sampled_from(["GET /", "a" * 10_000, "\u202eevil", "💥"]),
    kind=st.integers(0, 5),
    at=st.floats(-7_200, 7_200).map(lambda at: round(at, 6)),
    ms=st.integers(0, 10_000_000),
    error=st.booleans(),
    attributes=st.dictionaries(
        st.sampled_from(["order", "user.id", "größe"]), st.sampled_from(["7", "O-1", "", "ß"])
    ),
    events=st.dictionaries(st.sampled_from(["retry", "Exception"]), st.just({"why": "because"}), max_size=2),
)


def _store(directory: str, batches: list[list[S]]) -> EmbeddedTelemetryStore:
    store = EmbeddedTelemetryStore(StorageConfig(path=Path(directory), min_free_mib=1), HandClock(NOON))
    list(store.replay())
    for spans in batches:
        payload = body(spans)
        store.add(decode([payload]).spans, store.append([payload]))
    return store


def _assert_same(columns: TraceColumns, trace: Trace) -> None:
    spans = trace.spans
    places = {span.span_id: place for place, span in enumerate(spans)}
    ids = [columns.span_ids[at : at + SPAN_ID_DIGITS] for at in range(0, len(columns.span_ids), SPAN_ID_DIGITS)]
    assert ids == [span.span_id for span in spans]
    assert list(columns.parents) == [
        NO_PARENT if span.parent_span_id is None else places.get(span.parent_span_id, PARENT_MISSING)
        for span in spans
    ]
    assert [columns.services[one] for one in columns.service] == [span.service for span in spans]
    assert [columns.names[one] for one in columns.name] == [span.name for span in spans]
    assert [KINDS[one] for one in columns.kind] == [span.kind for span in spans]
    assert [STATUSES[one] for one in columns.status] == [span.status for span in spans]
    assert [columns.start_unix_nano + ns for ns in columns.start_ns] == [span.start_unix_nano for span in spans]
    assert [ns / 1e6 for ns in columns.duration_ns] == [span.duration_ms for span in spans]
    assert (columns.start, columns.sampling_probability) == (spans[0].start, trace.sampling_probability)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(SPANS, min_size=1, max_size=8), min_size=1, max_size=3))
async def test_the_columns_say_what_the_trace_says(batches: list[list[S]]) -> None:
    with TemporaryDirectory() as directory:
        store = _store(directory, batches)
        trace, columns = await store.trace(trace_hex(1)), await store.trace_columns(trace_hex(1))
        assert trace is not None
        assert columns is not None
        _assert_same(columns, trace)
        assert analyse_columns(columns) == analyse(trace)
        for span in trace.spans:
            assert await store.span(trace.trace_id, span.span_id) == span
        store.close()


def _says(span_text: list[str], wanted: str) -> bool:
    return any(wanted in text.lower() for text in span_text)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(SPANS, min_size=1, max_size=8), min_size=1, max_size=3),
    st.sampled_from(
        ["ORDER=7", "o-1", "exception", "SERVER", "bank", "evil", "%", ".*", "💥", "0000000000000003", "="]
    ),
)
async def test_a_text_is_found_where_it_stands_and_nowhere_else(batches: list[list[S]], text: str) -> None:
    with TemporaryDirectory() as directory:
        store = _store(directory, batches)
        trace = await store.trace(trace_hex(1))
        assert trace is not None
        expected = [
            span.span_id
            for span in trace.spans
            if _says(
                [
                    *(span.service, span.name, span.span_id, span.kind, span.status_message),
                    *(f"{key}={value}" for key, value in span.attributes.items()),
                    *(event.name for event in span.events),
                ],
                text.lower(),
            )
        ]
        assert await store.spans_with(trace.trace_id, text) == expected
        store.close()
