"""What Prometheus is shown of spans: every span counts once, and what a start reads back does not count again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.red import HISTOGRAM_BUCKETS
from homeostat.observe.red import Red
from support.spans import CLIENT, INTERNAL, SERVER, HandClock, S, table

SPANS = st.lists(
    st.builds(
        S,
        span=st.integers(1, 1000),
        parent=st.sampled_from([0, 7]),
        service=st.sampled_from(["shop", "bank"]),
        name=st.sampled_from(["GET /", "POST /"]),
        kind=st.sampled_from([SERVER, CLIENT, INTERNAL]),
        at=st.floats(-100, 0),
        ms=st.floats(0.001, 10_000),
        error=st.booleans(),
    ),
    max_size=20,
)


@given(st.lists(SPANS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_totals_are_what_one_counts_by_hand(batches: list[list[S]]) -> None:
    red = Red(HandClock())
    for batch in batches:
        if batch:
            red.fold(table(batch))
    spans = [span for batch in batches for span in batch]
    totals = red.totals()
    assert sum(totals.kinds) == len(spans)
    entries = [span for span in spans if span.kind == SERVER or not span.parent]
    for row, (service, operation) in enumerate(totals.operations):
        mine = [span for span in entries if (span.service, span.name) == (service, operation)]
        assert totals.requests[row] == len(mine) == totals.histogram[row].sum()
        assert totals.errors[row] == sum(span.error for span in mine)
        assert abs(totals.duration_sum_ms[row] - sum(span.ms for span in mine)) < 0.01 * len(mine) + 1e-6
    assert totals.requests.sum() == len(entries)
    roots = [span for span in spans if not span.parent]
    assert totals.traces_histogram.sum() == len(roots)
    for row, service in enumerate(totals.services):
        assert totals.traces_histogram[row].sum() == sum(span.service == service for span in roots)


def test_without_spans_there_are_no_rows() -> None:
    totals = Red(HandClock()).totals()
    assert totals.operations == ()
    assert totals.histogram.shape == (0, HISTOGRAM_BUCKETS)


def test_what_a_start_reads_back_is_not_counted_again() -> None:
    red = Red(HandClock())
    red.fold(table([S(), S(span=2)]))
    red.forget_totals()
    red.fold(table([S(span=3)]))
    totals = red.totals()
    assert totals.requests.tolist() == [1]
    assert sum(totals.kinds) == 1
