"""What every telemetry store must answer, wherever the spans lie: in memory, in segments, in both, after a restart.

A store is named in ``STORES`` with a way to fill it; each test runs on each of them.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.core.config import StorageConfig
from homeostat.core.errors import BadRequestError
from homeostat.core.models import TraceQuery, TraceSummary
from homeostat.core.ports import TelemetryStore
from homeostat.observe.decode.traces import decode
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support import clickhouse
from support.spans import CLIENT, INTERNAL, NOON, SERVER, HandClock, S, body, trace_hex

Fill = Callable[[Path, Sequence[Sequence[S]]], TelemetryStore]

WHOLE_DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}


def _opened(directory: Path) -> EmbeddedTelemetryStore:
    store = EmbeddedTelemetryStore(StorageConfig(path=directory, min_free_mib=1), HandClock())
    for record in list(store.replay()):
        store.add(decode([record.payload]).spans, record.seq)
    return store


def _put(store: EmbeddedTelemetryStore, spans: Sequence[S]) -> None:
    payload = body(spans)
    store.add(decode([payload]).spans, store.append([payload]))


def _in_memory(directory: Path, batches: Sequence[Sequence[S]]) -> TelemetryStore:
    store = _opened(directory)
    for batch in batches:
        _put(store, batch)
    return store


def _in_segments(directory: Path, batches: Sequence[Sequence[S]]) -> TelemetryStore:
    store = _opened(directory)
    for batch in batches:
        _put(store, batch)
        store.seal()
        assert store.flush()
    return store


def _in_both(directory: Path, batches: Sequence[Sequence[S]]) -> TelemetryStore:
    store = _opened(directory)
    for number, batch in enumerate(batches):
        _put(store, batch)
        if number % 2 == 0:
            store.seal()
            assert store.flush()
    return store


def _restarted(directory: Path, batches: Sequence[Sequence[S]]) -> TelemetryStore:
    """A crash: nothing is closed, the next process finds what is on disk."""
    _in_both(directory, batches)
    return _opened(directory)


def _in_clickhouse_and_memory(directory: Path, batches: Sequence[Sequence[S]]) -> TelemetryStore:
    """Every other batch is still on its way; of several, the first was stored before ClickHouse was configured."""
    store = _opened(directory)
    before = 1 if len(batches) > 2 else 0
    _flushed(store, batches[:before], every=1)
    clickhouse.attach(directory, traces=store)
    return _flushed(store, batches[before:], every=2)


def _flushed(store: EmbeddedTelemetryStore, batches: Sequence[Sequence[S]], every: int) -> EmbeddedTelemetryStore:
    for number, batch in enumerate(batches):
        _put(store, batch)
        if number % every == 0:
            store.seal()
            assert store.flush(), store.troubles
    return store


STORES: dict[str, Fill] = {
    "in memory": _in_memory,
    "in segments": _in_segments,
    "in both": _in_both,
    "restarted": _restarted,
    "in clickhouse and memory": _in_clickhouse_and_memory,
}


@pytest.fixture(params=STORES, ids=lambda name: name.replace(" ", "-"))
def fill(request: pytest.FixtureRequest) -> Fill:
    return STORES[request.param]


def _shop_trace(trace: int, at: float, *, error: bool = False, slow_ms: float = 20) -> list[S]:
    return [
        S(trace, 1, 0, "gateway", "POST /buy", SERVER, at, slow_ms + 10, error, {"customer": f"c{trace}"}),
        S(trace, 2, 1, "gateway", "POST", CLIENT, at + 0.001, slow_ms + 5, error),
        S(trace, 3, 2, "payment", "POST /pay", SERVER, at + 0.002, slow_ms, error, {"card": "visa"}),
    ]


async def test_a_trace_comes_back_whole_wherever_its_spans_lie(fill: Fill, tmp_path: Path) -> None:
    gateway, call, payment = _shop_trace(5, 0)
    store = fill(tmp_path, [[payment], [gateway, *_shop_trace(6, 1)], [call]])
    trace = await store.trace(trace_hex(5))
    assert trace is not None
    assert [(span.span_id[-1], span.parent_span_id) for span in trace.spans] == [
        ("1", None),
        ("2", f"{1:016x}"),
        ("3", f"{2:016x}"),
    ]
    root, leaf = trace.spans[0], trace.spans[-1]
    assert (root.service, root.name, root.kind, root.status) == ("gateway", "POST /buy", "server", "unset")
    assert root.attributes == {"customer": "c5"}
    assert root.resource == {"service.name": "gateway"}
    assert (root.start, root.duration_ms) == (NOON, 30.0)
    assert leaf.attributes == {"card": "visa"}
    assert await store.trace(trace_hex(7)) is None
    assert await store.trace("no id") is None


async def test_a_trace_as_columns_says_the_same_and_each_span_can_be_asked_for(fill: Fill, tmp_path: Path) -> None:
    gateway, call, payment = _shop_trace(5, 0, error=True)
    store = fill(tmp_path, [[payment], [gateway, *_shop_trace(6, 1)], [call], [call]])
    trace, columns = await store.trace(trace_hex(5)), await store.trace_columns(trace_hex(5))
    assert trace is not None
    assert columns is not None
    assert columns.span_ids == "".join(span.span_id for span in trace.spans)
    assert columns.parents == (-1, 0, 1)
    assert [columns.services[one] for one in columns.service] == ["gateway", "gateway", "payment"]
    assert [columns.names[one] for one in columns.name] == ["POST /buy", "POST", "POST /pay"]
    assert (columns.start, columns.start_ns) == (NOON, (0, 1_000_000, 2_000_000))
    assert (columns.duration_ns, columns.status) == ((30_000_000, 25_000_000, 20_000_000), (2, 2, 2))
    assert columns.kind == (2, 3, 2)
    assert await store.span(trace_hex(5), trace.spans[2].span_id) == trace.spans[2]
    assert await store.span(trace_hex(5), f"{99:016x}") is None
    assert await store.spans_with(trace_hex(5), "CARD=visa") == [trace.spans[2].span_id]
    assert await store.spans_with(trace_hex(5), "client") == [trace.spans[1].span_id]
    assert await store.spans_with(trace_hex(5), "nowhere") == []
    assert await store.trace_columns(trace_hex(7)) is None
    assert await store.trace_columns("no id") is None
    assert await store.span(trace_hex(7), f"{1:016x}") is None
    assert await store.spans_with(trace_hex(7), "visa") is None


async def test_a_span_that_was_sent_twice_is_there_once(fill: Fill, tmp_path: Path) -> None:
    spans = _shop_trace(5, 0)
    store = fill(tmp_path, [spans, spans, [*spans, *spans]])
    trace = await store.trace(trace_hex(5))
    assert trace is not None
    assert len(trace.spans) == 3
    (summary,) = (await store.search(TraceQuery(**WHOLE_DAY))).traces
    assert summary.span_count == 3


async def test_a_search_gives_summaries_newest_first(fill: Fill, tmp_path: Path) -> None:
    batches = [_shop_trace(n, n * 10.0, error=n == 3) for n in range(1, 7)]
    store = fill(tmp_path, batches)
    found = (await store.search(TraceQuery(**WHOLE_DAY, limit=4))).traces
    assert [summary.trace_id for summary in found] == [trace_hex(n) for n in (6, 5, 4, 3)]
    assert found[0] == TraceSummary(
        trace_id=trace_hex(6),
        root_service="gateway",
        root_operation="POST /buy",
        start=NOON + timedelta(seconds=60),
        duration_ms=30.0,
        span_count=3,
        error_count=0,
        services=("gateway", "payment"),
    )
    assert found[3].error_count == 3


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"service": "payment"}, [4, 3, 2, 1]),
        ({"service": "nobody"}, []),
        ({"operation": "POST /pay"}, [4, 3, 2, 1]),
        ({"service": "gateway", "operation": "POST /pay"}, []),
        ({"errors_only": True}, [2]),
        ({"min_duration_ms": 100.0}, [3]),
        ({"service": "payment", "max_duration_ms": 20.0}, [4, 2, 1]),
        ({"attributes": {"customer": "c4"}}, [4]),
        ({"attributes": {"card": "visa"}, "errors_only": True}, [2]),
        ({"attributes": {"card": "visa", "customer": "c4"}}, []),  # no single span has both
        ({"attributes": {"service.name": "payment"}, "min_duration_ms": 100.0}, [3]),  # of the resource
        ({"start": NOON + timedelta(seconds=15), "end": NOON + timedelta(seconds=35)}, [3, 2]),
        ({"start": NOON + timedelta(seconds=20), "end": NOON + timedelta(seconds=30)}, [2]),
    ],
)
async def test_every_condition_of_a_search_holds(
    fill: Fill, tmp_path: Path, conditions: dict[str, object], expected: list[int]
) -> None:
    batches = [_shop_trace(n, n * 10.0, error=n == 2, slow_ms=300 if n == 3 else 20) for n in range(1, 5)]
    store = fill(tmp_path, batches)
    found = (await store.search(TraceQuery.model_validate({**WHOLE_DAY, **conditions}))).traces
    assert [summary.trace_id for summary in found] == [trace_hex(n) for n in expected]


async def test_examples_are_the_newest_failures_or_the_slowest(fill: Fill, tmp_path: Path) -> None:
    batches = [_shop_trace(n, n * 10.0, error=n in (2, 4), slow_ms=10.0 * (7 - n)) for n in range(1, 7)]
    store = fill(tmp_path, batches)
    since = NOON + timedelta(seconds=15)
    failed = await store.example_traces("payment", since, errors=True)
    assert failed == [trace_hex(4), trace_hex(2)]
    slowest = await store.example_traces("payment", since, errors=False, limit=2)
    assert slowest == [trace_hex(2), trace_hex(3)]
    assert await store.example_traces("payment", since, errors=True, operation="GET /") == []
    assert await store.example_traces("nobody", since, errors=False) == []


async def test_traces_whose_ids_share_their_low_half_are_told_apart(fill: Fill, tmp_path: Path) -> None:
    twin = (1 << 64) + 5
    store = fill(tmp_path, [[S(5, 1, service="a"), S(twin, 1, service="b", at=1)]])
    trace = await store.trace(trace_hex(5))
    assert trace is not None
    assert [span.service for span in trace.spans] == ["a"]
    found = (await store.search(TraceQuery(**WHOLE_DAY, service="b"))).traces
    assert [summary.trace_id for summary in found] == [trace_hex(twin)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POST /PAY", [4, 3, 2, 1]),  # a name, in any case
        ("declined", [2]),  # a status message
        ("C4", [4]),  # an attribute's value
        ("customer", [4, 3, 2, 1]),  # an attribute's key
        ("card.stolen", [3]),  # an event's name
        ("Fraud-9", [3]),  # the value of an event's attribute
        ("reason", [3]),  # its key
        ("payment", [4, 3, 2, 1]),  # a resource's attribute
        ("no such text", []),
        ("ümläut", [1]),
        ("%", []),
    ],
)
async def test_a_text_is_found_wherever_a_span_has_it(
    fill: Fill, tmp_path: Path, text: str, expected: list[int]
) -> None:
    batches = [_shop_trace(n, n * 10.0) for n in range(1, 5)]
    batches[0].append(S(1, 9, 1, "gateway", "note", INTERNAL, 10.0, attributes={"note": "Ein ÜMLÄUT"}))
    batches[1].append(S(2, 9, 1, "gateway", "pay", INTERNAL, 20.0, error=True, message="Card DECLINED"))
    batches[2].append(S(3, 9, 1, "gateway", "pay", INTERNAL, 30.0, events={"card.stolen": {"reason": "fraud-9"}}))
    store = fill(tmp_path, batches)
    found = await store.search(TraceQuery(**WHOLE_DAY, text=text))
    assert [summary.trace_id for summary in found.traces] == [trace_hex(n) for n in expected]


async def test_a_text_holds_together_with_the_other_conditions_on_one_span(fill: Fill, tmp_path: Path) -> None:
    store = fill(tmp_path, [_shop_trace(n, n * 10.0, error=n == 2) for n in range(1, 4)])
    found = await store.search(TraceQuery(**WHOLE_DAY, text="visa", service="payment", errors_only=True))
    assert [summary.trace_id for summary in found.traces] == [trace_hex(2)]
    assert (await store.search(TraceQuery(**WHOLE_DAY, text="visa", service="gateway"))).traces == ()


async def _all_pages(store: TelemetryStore, query: TraceQuery) -> list[str]:
    shown: list[str] = []
    while True:
        page = await store.search(query)
        assert len(page.traces) <= query.limit
        shown += [summary.trace_id for summary in page.traces]
        if page.next_cursor is None:
            return shown
        assert page.traces
        query = query.model_copy(update={"cursor": page.next_cursor})


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_show_every_trace_once(fill: Fill, tmp_path: Path, limit: int) -> None:
    at = [5, 3, 3, 3, 8, 1, 5]  # several start together
    batches = [_shop_trace(n, at[n - 1] * 10.0) for n in range(1, 8)]
    late_children = [S(n, 8, 1, "stock", "count", INTERNAL, 200.0 + n) for n in (2, 6)]
    store = fill(tmp_path, [*batches, late_children])
    shown = await _all_pages(store, TraceQuery(**WHOLE_DAY, limit=limit))
    assert shown == [trace_hex(n) for n in sorted(range(1, 8), key=lambda n: (at[n - 1], n), reverse=True)]


async def test_what_arrives_while_one_pages_on_moves_nothing(tmp_path: Path) -> None:
    store = _opened(tmp_path)
    for number in range(1, 7):
        _put(store, _shop_trace(number, number * 10.0))
    query = TraceQuery(**WHOLE_DAY, limit=2)
    first = await store.search(query)
    _put(store, _shop_trace(9, 65.0))  # a new trace
    _put(store, [S(1, 8, 1, "stock", "count", INTERNAL, 300.0)])  # a late span of a trace not shown yet
    store.seal()
    assert store.flush()
    _put(store, [S(6, 8, 1, "stock", "count", INTERNAL, 1.0 + 60)])  # and one of a trace that was
    rest = await _all_pages(store, query.model_copy(update={"cursor": first.next_cursor}))
    assert [summary.trace_id for summary in first.traces] == [trace_hex(6), trace_hex(5)]
    assert rest == [trace_hex(n) for n in (4, 3, 2, 1)]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "!!!!", "A" * 31, "A" * 33, "ä"])
async def test_a_cursor_that_no_page_gave_is_refused(tmp_path: Path, cursor: str) -> None:
    store = _in_memory(tmp_path, [_shop_trace(1, 0)])
    with pytest.raises(BadRequestError, match="next_cursor"):
        await store.search(TraceQuery(**WHOLE_DAY, cursor=cursor))


async def test_several_traces_come_in_the_order_they_were_asked_for(fill: Fill, tmp_path: Path) -> None:
    store = fill(tmp_path, [_shop_trace(n, n * 10.0) for n in range(1, 5)])
    found = await store.traces([trace_hex(3), "no id", trace_hex(7), trace_hex(1), trace_hex(3)])
    assert [trace.trace_id for trace in found] == [trace_hex(3), trace_hex(1)]
    assert all(len(trace.spans) == 3 for trace in found)
    assert await store.traces([]) == []
    with pytest.raises(BadRequestError, match="1000"):
        await store.traces([trace_hex(n) for n in range(1001)])


async def test_names_are_those_of_spans_since_then(fill: Fill, tmp_path: Path) -> None:
    early = [S(1, 1, 0, "old", "gone", SERVER, 0)]
    store = fill(tmp_path, [early, _shop_trace(2, 100.0), [S(3, 1, 0, "gateway", "late", CLIENT, 200.0)]])
    assert await store.services(NOON) == ["gateway", "old", "payment"]
    assert await store.services(NOON + timedelta(seconds=1)) == ["gateway", "payment"]
    assert await store.services(NOON + timedelta(seconds=150)) == ["gateway"]
    assert await store.services(NOON + timedelta(seconds=300)) == []
    assert await store.operations("gateway", NOON) == [
        ("POST", "client"),
        ("POST /buy", "server"),
        ("late", "client"),
    ]
    assert await store.operations("gateway", NOON + timedelta(seconds=150)) == [("late", "client")]
    assert await store.operations("nobody", NOON) == []


async def test_spans_that_are_their_own_parents_are_stored_and_shown(fill: Fill, tmp_path: Path) -> None:
    store = fill(tmp_path, [[S(1, 1, 2), S(1, 2, 1, at=1)], [S(1, 3, 3, at=2), S(1, 4, 77, at=-3600)]])
    trace = await store.trace(trace_hex(1))
    assert trace is not None
    assert len(trace.spans) == 4
    (summary,) = (await store.search(TraceQuery(**WHOLE_DAY))).traces
    assert (summary.span_count, summary.start) == (4, NOON - timedelta(hours=1))


SPANS = st.builds(
    S,
    trace=st.integers(1, 8),
    span=st.integers(1, 4),
    service=st.sampled_from(["shop", "bank"]),
    name=st.sampled_from(["GET /", "POST /"]),
    at=st.integers(0, 50).map(float),
    ms=st.sampled_from([5.0, 50.0]),
    error=st.booleans(),
    attributes=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]), max_size=2),
)
QUERIES = st.fixed_dictionaries(
    {
        "start": st.integers(-5, 30).map(lambda s: NOON + timedelta(seconds=s)),
        "end": st.integers(31, 60).map(lambda s: NOON + timedelta(seconds=s)),
        "service": st.sampled_from([None, "shop", "bank"]),
        "operation": st.sampled_from([None, "GET /"]),
        "min_duration_ms": st.sampled_from([None, 20.0]),
        "max_duration_ms": st.sampled_from([None, 20.0]),
        "errors_only": st.booleans(),
        "attributes": st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"]), max_size=1),
        "text": st.sampled_from([None, "post", "2", "hop", "a"]),
    }
)


def _matches(span: S, query: TraceQuery) -> bool:
    start = NOON + timedelta(seconds=span.at)
    return (
        query.start <= start < query.end
        and query.service in (None, span.service)
        and query.operation in (None, span.name)
        and (query.min_duration_ms is None or span.ms >= query.min_duration_ms)
        and (query.max_duration_ms is None or span.ms <= query.max_duration_ms)
        and (span.error or not query.errors_only)
        and all(span.attributes.get(key) == value for key, value in query.attributes.items())
        and (query.text is None or any(query.text in text.lower() for text in _texts(span)))
    )


def _texts(span: S) -> list[str]:
    return [span.name, "service.name", span.service, *span.attributes, *span.attributes.values()]


_directory = count()


@given(st.lists(st.lists(SPANS, min_size=1, max_size=6), min_size=1, max_size=4), QUERIES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_search_finds_what_a_look_at_every_span_finds(
    fill: Fill, tmp_path: Path, batches: list[list[S]], conditions: dict[str, object]
) -> None:
    once = {(span.trace, span.span): span for batch in batches for span in batch}
    batches = [[span for span in batch if once[span.trace, span.span] is span] for batch in batches]
    store = fill(tmp_path / str(next(_directory)), [batch for batch in batches if batch])
    query = TraceQuery.model_validate(conditions)
    found = {summary.trace_id: summary for summary in (await store.search(query)).traces}
    assert await _all_pages(store, query.model_copy(update={"limit": 2})) == list(found)
    assert set(found) == {trace_hex(span.trace) for span in once.values() if _matches(span, query)}
    for trace_id, summary in found.items():
        members = [span for span in once.values() if trace_hex(span.trace) == trace_id]
        assert summary.span_count == len(members)
        assert summary.error_count == sum(span.error for span in members)
        assert set(summary.services) == {span.service for span in members}
        assert summary.start == NOON + timedelta(seconds=min(span.at for span in members))
