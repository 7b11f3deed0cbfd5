"""Two traces side by side."""

from hypothesis import given

from homeostat.core.analysis import SpanChange
from homeostat.core.models import Span
from homeostat.observe.analysis.compare import compare
from support.traces import SPANS, a_span, a_trace


def test_a_trace_is_the_same_as_itself() -> None:
    trace = a_trace(a_span(1, ms=100), a_span(2, 1, at=10, ms=50), a_span(3, 1, at=60, ms=30))
    same = compare(trace, trace)
    assert same.changes[SpanChange.SAME] == 3
    assert same.delta_ms == 0
    assert all(entry.delta_self_ms == 0 for entry in same.operations)


def test_what_was_added_is_missing_slower_and_faster_is_told() -> None:
    left = a_trace(
        a_span(1, name="buy", ms=100),
        a_span(2, 1, name="pay", at=1, ms=20),
        a_span(3, 1, name="reserve", at=30, ms=30),
        a_span(4, 1, name="mail", at=70, ms=20),
    )
    right = a_trace(
        a_span(11, name="buy", ms=150),
        a_span(12, 11, name="pay", at=1, ms=90),
        a_span(13, 12, name="charge", at=10, ms=70, service="bank"),
        a_span(14, 11, name="mail", at=120, ms=5),
        number=2,
    )
    found = compare(left, right)
    assert [(span.operation, span.depth, span.change.value) for span in found.spans] == [
        ("buy", 0, "slower"),
        ("pay", 1, "slower"),
        ("charge", 2, "added"),
        ("reserve", 1, "missing"),
        ("mail", 1, "faster"),
    ]
    assert found.operations[0].operation == "charge"
    assert found.operations[0].delta_self_ms == 70


def test_calls_of_the_same_operation_are_matched_in_their_order() -> None:
    left = a_trace(a_span(1, ms=100), *(a_span(n, 1, name="read", at=10.0 * n, ms=5) for n in (2, 3)))
    right = a_trace(a_span(1, ms=100), *(a_span(n, 1, name="read", at=10.0 * n, ms=5) for n in (4, 5, 6)))
    changes = [span.change.value for span in compare(left, right).spans]
    assert changes == ["same", "same", "same", "added"]


def test_a_change_below_the_noise_is_none() -> None:
    def one(ms: float) -> SpanChange:
        return compare(a_trace(a_span(1, ms=10)), a_trace(a_span(1, ms=ms))).spans[0].change

    assert (one(10.9), one(11.1), one(8.0)) == (SpanChange.SAME, SpanChange.SLOWER, SpanChange.FASTER)


@given(SPANS, SPANS)
def test_every_span_of_both_is_told_of_once(left: list[Span], right: list[Span]) -> None:
    found = compare(a_trace(*left), a_trace(*right)).spans
    for side, spans in (("left_span_id", left), ("right_span_id", right)):
        told = [getattr(entry, side) for entry in found if getattr(entry, side) is not None]
        assert sorted(told) == sorted({span.span_id for span in spans})
