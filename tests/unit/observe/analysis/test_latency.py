"""Percentiles and heat map over time."""

import numpy as np

from homeostat.core.red import HISTOGRAM_BUCKETS, RedPoint, RedReach, quantiles_ms
from homeostat.observe.analysis.latency import columns_of, latency
from homeostat.observe.red import histogram_index

ALWAYS = RedReach(0, 0)


def _point(start_s: int, durations_ms: list[float], errors: int = 0) -> RedPoint:
    index = histogram_index(np.array([round(ms * 1e6) for ms in durations_ms], dtype=np.int64))
    histogram = np.bincount(index, minlength=HISTOGRAM_BUCKETS)
    return RedPoint(
        "shop", None, start_s, start_s + 60, len(durations_ms), errors, histogram=tuple(histogram.tolist())
    )


def _asked(points: list[RedPoint], start_s: int, end_s: int, step_s: int, reach: RedReach = ALWAYS):
    return latency(
        columns_of(points),
        service="shop",
        operation=None,
        start_s=start_s,
        end_s=end_s,
        step_s=step_s,
        reach=reach,
    )


def test_each_step_has_the_percentiles_of_its_histogram() -> None:
    points = [_point(600, [5.0] * 90 + [100.0] * 10, errors=3), _point(660, [7.0])]
    answer = _asked(points, 600, 780, 60)
    first, second, third = answer.points
    expected = quantiles_ms(points[0].histogram, (0.5, 0.95, 0.99))
    assert [first.p50_ms, first.p95_ms, first.p99_ms] == expected
    assert (first.requests, first.errors, second.requests) == (100, 3, 1)
    assert (third.requests, third.p95_ms) == (0, None)


def test_steps_add_up_their_minutes() -> None:
    answer = _asked([_point(600, [5.0]), _point(660, [5.0]), _point(720, [5.0])], 600, 840, 120)
    assert [point.requests for point in answer.points] == [2, 1]


def test_every_request_is_in_the_row_of_the_heat_map_that_its_duration_belongs_to() -> None:
    durations = [0.0005, 0.7, 5.0, 5.1, 100.0, 90_000.0, 900_000.0]
    answer = _asked([_point(600, durations)], 600, 660, 60)
    counts = answer.points[0].counts
    assert counts is not None
    assert sum(counts) == len(durations)
    for bucket, count in zip(answer.buckets, counts, strict=True):
        upper = bucket.upper_ms if bucket.upper_ms is not None else float("inf")
        assert count == sum(bucket.lower_ms < ms <= upper for ms in durations), bucket
    assert answer.buckets[0].lower_ms == 0
    assert answer.buckets[-1].upper_ms is None


def test_what_nobody_counted_is_unknown_and_not_nothing() -> None:
    reach = RedReach(660, 0, ((720, 780),))
    answer = _asked([_point(660, [5.0])], 600, 840, 60, reach)
    assert [point.requests for point in answer.points] == [None, 1, None, 0]
    assert answer.points[0].counts is None


def test_nothing_at_all_has_no_buckets() -> None:
    answer = _asked([], 600, 720, 60)
    assert answer.buckets == ()
    assert [point.counts for point in answer.points] == [(), ()]
