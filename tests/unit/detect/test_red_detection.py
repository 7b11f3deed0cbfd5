"""The tests behind the detectors: what is bad, what is good, what is not known, and what is normal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.config import ErrorRateConfig, LatencyConfig
from homeostat.core.models import Finding
from homeostat.core.red import HISTOGRAM_BUCKETS, Edge, RedPoint, bucket_upper_ms
from homeostat.detect.baseline import Baselines, Past, slow_requests
from homeostat.detect.error_rate import error_rate_detector
from homeostat.detect.latency import SLOW_SHARE, SURELY_BELOW, close_limit_ms, latency_detector, slow_limit_ms
from homeostat.detect.share import Reason, ShareTest
from homeostat.detect.topology import Topology
from homeostat.detect.windows import COMPLETE_AFTER_S, Windows, complete_end_s
from homeostat.sim import Simulation, run
from homeostat.sim.traffic import Disturbance, SimService, SimTraffic
from support.sim_detection import chain, watch

TEST = ShareTest(threshold=0.05, close_at=0.025, confidence=0.995, min_requests=20)


# -- the share test -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "total", "past", "reason"),
    [
        (15, 19, (0, 0), None),  # too few to mean it
        (12, 48, (0, 0), Reason.SURELY),
        (6, 48, (0, 0), None),  # 12.5 %, but of a stranger
        (6, 48, (0, 5_000), Reason.CHANGED),
        (6, 48, (150, 5_000), None),  # it has always failed at 3 %
        (3, 48, (0, 5_000), None),  # surprising, but not surely above 5 %
    ],
)
def test_bad_is_sure_by_itself_or_sure_enough_and_surprising(
    hits: int, total: int, past: tuple[float, float], reason: Reason | None
):
    assert TEST.bad(hits, total, *past) is reason


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 100), st.integers(0, 5_000))
def test_nothing_is_good_and_bad_at_once(hits: int, more: int, past_hits: int, past_more: int):
    total = hits + more
    bad = TEST.bad(hits, total, past_hits, past_hits + past_more) is not None
    assert not (bad and TEST.good(hits, total))


def test_no_requests_are_not_good():
    assert not TEST.good(0, 0)
    assert not TEST.good(0, 19)
    assert TEST.good(0, 100)


def test_a_few_slow_requests_do_not_keep_slowness_open_when_its_percentile_is_low():
    slow = ShareTest(
        threshold=SLOW_SHARE, close_at=SLOW_SHARE, confidence=0.995, min_requests=20, surely_below=SURELY_BELOW
    )
    assert slow.good(16, 400)
    assert not slow.good(21, 400)
    assert not slow.good(0, 20), "too few to say"


# -- histograms ---------------------------------------------------------------------------------------------


def with_durations(durations_ms: Sequence[float]) -> RedPoint:
    counts = [0] * HISTOGRAM_BUCKETS
    for duration in durations_ms:
        counts[next(i for i in range(HISTOGRAM_BUCKETS) if bucket_upper_ms(i) >= duration)] += 1
    return RedPoint("one", None, 0, 10, requests=len(durations_ms), histogram=tuple(counts))


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 60_000), min_size=20, max_size=60), st.floats(1.0, 50_000.0))
def test_more_than_five_percent_are_slow_exactly_when_the_p95_is_above_the_limit(
    durations_ms: list[float], limit_ms: float
):
    point = with_durations(durations_ms)
    p95 = point.quantile_ms(0.95)
    assert p95 is not None
    assert (slow_requests(point, limit_ms) > 0.05 * point.requests + 1e-9) == (p95 > limit_ms)


def test_limits_follow_the_threshold_until_the_baseline_asks_for_more():
    config = LatencyConfig(threshold_ms=500, ratio=3, close_ratio=2)
    assert slow_limit_ms(config, Past()) == 500
    assert slow_limit_ms(config, Past(baseline_p95_ms=20.0)) == 500
    assert slow_limit_ms(config, Past(baseline_p95_ms=400.0)) == 1_200
    assert close_limit_ms(config, Past(baseline_p95_ms=400.0)) == 800


# -- time ---------------------------------------------------------------------------------------------------


class OnlyLatest:
    """A reader of which only the newest second is asked."""

    def __init__(self, latest: int | None) -> None:
        self.latest = latest

    def latest_s(self) -> int | None:
        return self.latest


@pytest.mark.parametrize(
    ("latest", "now_s", "end"),
    [
        (None, 1_000.0, None),
        (1_000, 1_000.9, 999),  # 999 ended at 1000.0 and is complete only at 1001.5
        (1_000, 1_001.5, 1_000),
        (1_000, 1_004.0, 1_000),  # all are late: nothing newer is complete
        (1_000, 1_060.0, 1_058),  # nothing comes any more: the end moves on into the silence
        (2_000, 1_000.0, 998),  # a clock ahead of ours
    ],
)
def test_the_newest_complete_second(latest: int | None, now_s: float, end: int | None):
    now = datetime.fromtimestamp(now_s, UTC)
    assert complete_end_s(OnlyLatest(latest), now) == end  # pyright: ignore[reportArgumentType]
    assert COMPLETE_AFTER_S == 1.5


# -- findings -----------------------------------------------------------------------------------------------


def findings_at(
    seconds: float, services: list[SimService], *disturbances: Disturbance, watched: Sequence[str] = ()
) -> dict[str, list[Finding]]:
    """What both detectors say after so many seconds, without any baseline."""

    async def main(simulation: Simulation) -> dict[str, list[Finding]]:
        red = SimTraffic(simulation.clock, services, disturbances)
        baselines = Baselines(red, lambda past: slow_limit_ms(LatencyConfig(), past))
        detectors = {
            "errors": error_rate_detector(red, baselines, ErrorRateConfig()),
            "latency": latency_detector(red, baselines, LatencyConfig()),
        }
        await anyio.sleep(seconds)
        windows = Windows(red)
        windows.move_to(simulation.clock.now())
        return {name: detector.look(windows, watched) for name, detector in detectors.items()}

    return run(main)


def test_without_traffic_a_watched_service_is_unknown_and_never_good():
    found = findings_at(200, chain(20), Disturbance("front", 60, silent=True), watched=["back"])
    for (finding,) in found.values():
        assert finding.bad is None
        assert finding.evidence.observed is None
        assert finding.evidence.sample_size == 0


def test_with_too_little_traffic_a_failing_service_is_unknown():
    found = findings_at(60, [SimService("rare", entry_rate=0.1, error_rate=1.0)], watched=["rare"])
    assert [finding.bad for finding in found["errors"]] == [None]


def test_a_healthy_watched_service_is_good_with_its_numbers():
    found = findings_at(60, chain(20), watched=["back"])
    (finding,) = found["errors"]
    assert finding.bad is False
    assert finding.evidence.observed == 0.0
    assert finding.evidence.sample_size >= 59  # as many as 95 % confidence takes
    assert found["latency"][0].bad is False


def test_a_healthy_service_that_nobody_watches_is_not_spoken_of():
    assert findings_at(60, chain(20)) == {"errors": [], "latency": []}


def test_one_bad_operation_among_many_good_ones_is_found_and_named():
    services = [SimService("shop", entry_rate=120.0, operations=("list", "read", "search", "pay"))]
    found = findings_at(60, services, Disturbance("shop", 30, error_rate=0.15, operation="pay"))
    (finding,) = found["errors"]
    assert finding.resource == "service:shop"
    assert finding.evidence.operation == "pay"
    assert finding.evidence.lower_bound is not None
    assert finding.evidence.lower_bound > 0.05


def test_the_first_slow_seconds_of_a_service_that_starts_are_no_issue_but_its_errors_are():
    cold = Disturbance("mid", 0, 10, added_ms=900)
    assert watch(chain(15.0), [cold], for_s=120).opened() == []
    broken = Disturbance("mid", 0, 10, error_rate=0.9)
    assert watch(chain(15.0), [broken], for_s=12).opened()


def test_the_onset_is_the_first_bad_second_not_a_stray_error_before_it():
    services = [SimService("shop", entry_rate=20.0, error_rate=0.002)]
    found = findings_at(130, services, Disturbance("shop", 120.4, error_rate=0.5))
    (finding,) = found["errors"]
    assert finding.first_bad_at is not None
    assert abs(finding.first_bad_at.timestamp() % 3_600 - 120) <= 1


def test_a_service_is_not_good_before_the_operation_that_was_bad_is():
    """At 1 request in 3 seconds the bad operation needs minutes to show that it is well; the service would not."""
    rare = SimService("shop", entry_rate=30.0, operations=("a", "b", "c", "d", "e", "pay"))
    fault = Disturbance("shop", 120.0, 150.0, error_rate=0.9, operation="pay")
    told = watch([rare], [fault], for_s=200)
    (at, _), *more = told.opened()
    assert not more
    assert at <= 125
    (closed_at, _), *_ = told.closed_incidents()
    assert closed_at >= 155


# -- normal -------------------------------------------------------------------------------------------------


def baselines_after(
    seconds: float, *disturbances: Disturbance, bad: tuple[int, int] | None = None, background: float = 0.01
) -> Baselines:
    async def main(simulation: Simulation) -> Baselines:
        red = SimTraffic(simulation.clock, chain(20, background=background, length=1), disturbances)
        baselines = Baselines(red, lambda past: slow_limit_ms(LatencyConfig(), past))
        start_s = int(simulation.clock.now().timestamp())
        if bad is not None:
            baselines.mark_bad("front", start_s + bad[0], start_s + bad[1])
        await anyio.sleep(seconds)
        baselines.learn(int(simulation.clock.now().timestamp()))
        return baselines

    return run(main)


def test_normal_is_learned_from_the_rollups_in_one_go_after_a_start():
    past = baselines_after(310).of(("front", None))
    assert past.requests > 3_000
    assert past.errors / past.requests == pytest.approx(0.01, abs=0.006)
    assert past.baseline_p95_ms is not None
    assert 5 < past.baseline_p95_ms < 30
    assert past.mean_ms == pytest.approx(5.7, abs=1.0)


def test_before_the_warm_up_there_is_no_baseline():
    assert baselines_after(30).of(("front", None)).baseline_p95_ms is None


def test_a_bad_time_is_not_normal():
    fault = Disturbance("front", 100, 200, error_rate=0.5, added_ms=900)
    past = baselines_after(310, fault, bad=(100, 200)).of(("front", None))
    assert past.errors / past.requests < 0.02
    assert past.baseline_p95_ms is not None
    assert past.baseline_p95_ms < 30


def test_even_unnoticed_bad_minutes_do_not_move_the_median():
    past = baselines_after(310, Disturbance("front", 100, 200, added_ms=900)).of(("front", None))
    assert past.baseline_p95_ms is not None
    assert past.baseline_p95_ms < 30


# -- topology -----------------------------------------------------------------------------------------------


def test_a_common_caller_does_not_connect_but_a_chain_does():
    topology = Topology([Edge("c", "a", 1, 0, 0.0), Edge("c", "b", 1, 0, 0.0), Edge("b", "d", 1, 0, 0.0)])
    assert topology.connected("c", "d")
    assert topology.connected("d", "c")
    assert not topology.connected("a", "b")
    assert not topology.connected("a", "d")
    assert topology.below("c") == {"a", "b", "d"}


def test_a_circle_of_calls_is_walked_once():
    topology = Topology([Edge("a", "b", 1, 0, 0.0), Edge("b", "a", 1, 0, 0.0)])
    assert topology.below("a") == {"a", "b"}


def test_windows_are_read_again_only_when_it_is_time():
    async def main(simulation: Simulation) -> None:
        red = SimTraffic(simulation.clock, chain(20))
        windows = Windows(red)
        await anyio.sleep(90)
        windows.move_to(simulation.clock.now())
        long, short = windows.bad(60), windows.bad(3)
        windows.move_to(simulation.clock.now() + timedelta(seconds=1))
        assert windows.bad(60) is long
        assert windows.bad(3) is not short

    run(main)
