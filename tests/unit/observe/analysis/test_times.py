"""Self time and critical path, of traces as they should be and of such as they should not."""

from itertools import pairwise

from hypothesis import given

from homeostat.core.analysis import TraceAnalysis
from homeostat.core.models import Span
from homeostat.observe.analysis.times import analyse
from support.traces import SPANS, a_span, a_trace


def _self(analysis: TraceAnalysis) -> dict[int, float]:
    return {int(span.span_id, 16): round(span.self_ms, 3) for span in analysis.spans}


def _path(analysis: TraceAnalysis) -> list[tuple[int, float, float]]:
    return [
        (int(piece.span_id, 16), round(piece.start_ms, 3), round(piece.duration_ms, 3))
        for piece in analysis.critical_path
    ]


def test_self_time_is_what_no_child_covers() -> None:
    analysis = analyse(a_trace(a_span(1, ms=100), a_span(2, 1, at=10, ms=30), a_span(3, 1, at=20, ms=40)))
    assert _self(analysis) == {1: 50.0, 2: 30.0, 3: 40.0}


def test_a_child_that_outlives_its_parent_takes_only_what_lies_within_it() -> None:
    analysis = analyse(a_trace(a_span(1, ms=100), a_span(2, 1, at=90, ms=500), a_span(3, 1, at=200, ms=50)))
    assert _self(analysis)[1] == 90.0
    assert analysis.duration_ms == 590.0


def test_the_critical_path_follows_the_child_that_finished_last() -> None:
    root = a_span(1, ms=100)
    quick, slow, nested = a_span(2, 1, at=10, ms=20), a_span(3, 1, at=10, ms=70), a_span(4, 3, at=30, ms=20)
    analysis = analyse(a_trace(root, quick, slow, nested))
    assert _path(analysis) == [(1, 0, 10), (3, 10, 20), (4, 30, 20), (3, 50, 30), (1, 80, 20)]
    assert {span.span_id[-1]: span.critical_ms for span in analysis.spans} == {"1": 30, "2": 0, "3": 50, "4": 20}


def test_children_one_after_the_other_are_all_waited_for() -> None:
    analysis = analyse(a_trace(a_span(1, ms=100), a_span(2, 1, at=0, ms=40), a_span(3, 1, at=50, ms=50)))
    assert _path(analysis) == [(2, 0, 40), (1, 40, 10), (3, 50, 50)]


def test_operations_are_added_up_the_most_self_time_first() -> None:
    spans = [a_span(1, ms=100, name="root"), *(a_span(n, 1, at=10.0 * n, ms=8, name="read") for n in range(2, 8))]
    first, second = analyse(a_trace(*spans)).operations
    assert (first.operation, first.spans, first.self_ms) == ("root", 1, 52.0)
    assert (second.operation, second.spans, second.total_ms, second.self_ms) == ("read", 6, 48.0, 48.0)
    assert first.self_share + second.self_share == 1.0


def test_a_clock_that_runs_behind_is_shifted_and_the_reader_told() -> None:
    client = a_span(1, service="shop", kind="client", ms=100)
    server = a_span(2, 1, service="bank", at=-5_000, ms=60)
    below = a_span(3, 2, service="bank", kind="internal", at=-4_990, ms=20)
    analysis = analyse(a_trace(client, server, below))
    assert [(span.start_ms, span.shift_ms) for span in analysis.spans] == [(0, 0), (20, 5_020), (30, 5_020)]
    assert _self(analysis) == {1: 40, 2: 40, 3: 20}
    assert "clocks of 2 spans" in analysis.notes[0]


def test_work_that_goes_on_after_its_parent_is_no_wrong_clock() -> None:
    producer = a_span(1, service="shop", kind="producer", ms=5)
    consumer = a_span(2, 1, service="mail", kind="consumer", at=60_000, ms=100)
    assert [span.shift_ms for span in analyse(a_trace(producer, consumer)).spans] == [0, 0]


def test_missing_parents_circles_and_doubles_are_told_and_break_nothing() -> None:
    spans = [
        a_span(1, 9, ms=10),
        a_span(2, 3, at=1),
        a_span(3, 2, at=2),
        a_span(4, 4, at=3),
        a_span(5, 2, at=4),
        a_span(5, 2, at=4),
    ]
    analysis = analyse(a_trace(*spans))
    assert len(analysis.spans) == 5
    roots = {int(span.span_id, 16) for span in analysis.spans if span.depth == 0}
    assert roots == {1, 2, 4}
    assert [note.split(" ", 1)[0] for note in analysis.notes] == ["1", "2", "1", "The"]


def test_a_chain_of_ten_thousand_spans_is_no_deep_recursion() -> None:
    count = 10_000
    spans = [a_span(n, n - 1, at=n * 0.01, ms=300 - n * 0.02) for n in range(1, count + 1)]
    analysis = analyse(a_trace(*spans))
    assert max(span.depth for span in analysis.spans) == count - 1


@given(SPANS)
def test_whatever_is_sent_the_sums_hold(spans: list[Span]) -> None:
    analysis = analyse(a_trace(*spans))
    assert {span.span_id for span in analysis.spans} == {span.span_id for span in spans}
    for span in analysis.spans:
        assert -1e-6 <= span.self_ms <= span.duration_ms + 1e-6
        assert span.critical_ms <= span.duration_ms + 1e-6
        assert span.start_ms >= -1e-6
    path = analysis.critical_path
    for before, after in pairwise(path):
        assert abs(before.start_ms + before.duration_ms - after.start_ms) < 1e-6
    main = min((span for span in analysis.spans if span.depth == 0), key=lambda span: _rank(span.span_id, spans))
    assert abs(sum(piece.duration_ms for piece in path) - main.duration_ms) < 1e-6


def _rank(span_id: str, spans: list[Span]) -> tuple[bool, int, float]:
    span = next(one for one in spans if one.span_id == span_id)
    return span.parent_span_id is not None, span.start_unix_nano, -span.duration_ms
