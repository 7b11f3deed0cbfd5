"""Quantiles read off an exponential histogram."""

from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.red import HISTOGRAM_BUCKETS, bucket_upper_ms, quantiles_ms


@given(
    buckets=st.lists(st.integers(0, HISTOGRAM_BUCKETS - 1), min_size=1, max_size=200),
    shares=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4),
)
def test_a_quantile_is_the_edge_of_the_bucket_in_which_the_ranked_request_lies(
    buckets: list[int], shares: list[float]
) -> None:
    counts = [buckets.count(index) for index in range(HISTOGRAM_BUCKETS)]
    for share, found in zip(shares, quantiles_ms(counts, shares), strict=True):
        at_most = sum(bucket_upper_ms(bucket) <= (found or 0.0) for bucket in buckets)
        below = sum(bucket_upper_ms(bucket) < (found or 0.0) for bucket in buckets)
        assert at_most >= share * len(buckets), "too few requests lie below"
        assert below < max(share * len(buckets), 1), "a lower edge would have done"


def test_without_requests_there_is_no_quantile() -> None:
    assert quantiles_ms([0] * HISTOGRAM_BUCKETS, (0.5, 0.99)) == [None, None]
