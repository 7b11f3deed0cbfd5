"""Sensors' words become findings at once; verification and the API measure only what is there."""

import re
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from homeostat.core.errors import BadRequestError
from homeostat.core.models import Evidence, Issue, IssueType, SensorEvent, ServiceStatus, Severity, Signal
from homeostat.core.red import RedPoint
from homeostat.detect import HealthReader, Signals
from homeostat.detect.crash import CrashDetector
from homeostat.detect.health import health_score, original_status, status_of
from homeostat.sim import Simulation, run
from homeostat.sim.traffic import Disturbance, SimTraffic
from support.sim_detection import chain

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(bad: bool, seconds: float, resource: str = "process:pay") -> SensorEvent:
    return SensorEvent(
        resource=resource,
        type=IssueType.PROCESS_CRASH,
        bad=bad,
        time=NOON + timedelta(seconds=seconds),
        detail="killed by signal 9" if bad else "running",
    )


def crash_issue(resource: str) -> Issue:
    return Issue(
        id="issue-1",
        type=IssueType.PROCESS_CRASH,
        severity=Severity.CRITICAL,
        resource=resource,
        fingerprint=f"process_crash|{resource}",
        title="crashed",
        description="",
        evidence=Evidence(signal="up", observed=0.0, threshold=1.0, unit="bool"),
        first_bad_at=NOON,
        opened_at=NOON,
        updated_at=NOON,
    )


class UpSensor:
    """Knows one process."""

    async def watch(self, emit: object) -> None: ...

    async def read(self, resource: str, name: str) -> Signal | None:
        if (resource, name) != ("process:pay", "up"):
            return None
        return Signal(resource=resource, name=name, value=1.0, unit="bool", time=NOON)


# -- crash --------------------------------------------------------------------------------------------------


def test_a_death_is_bad_until_the_process_lives_again():
    detector = CrashDetector()
    detector.sense(event(True, 0))
    assert [finding.bad for finding in detector.look()] == [True, True]
    assert [finding.bad for finding in detector.look()] == [True]
    detector.sense(event(False, 3))
    (finding,) = detector.look()
    assert finding.bad is False
    assert finding.time == NOON + timedelta(seconds=3)


def test_what_the_sensor_measured_of_a_death_is_evidence():
    detector = CrashDetector()
    detector.sense(event(True, 0).model_copy(update={"metrics": {"exit_code": 137.0}}))
    assert [finding.evidence.metrics for finding in detector.look()] == [{"exit_code": 137.0}] * 2


def test_a_death_and_a_restart_between_two_looks_are_both_told():
    detector = CrashDetector()
    detector.sense(event(True, 0))
    detector.sense(event(False, 0.1))
    assert [finding.bad for finding in detector.look()] == [True, False]
    assert [finding.bad for finding in detector.look()] == [False]


def test_of_a_process_that_no_sensor_spoke_of_nothing_is_said():
    assert CrashDetector().look() == []


def test_a_death_told_twice_keeps_the_time_of_the_first_telling():
    detector = CrashDetector()
    detector.sense(event(True, 0))
    detector.sense(event(True, 9))
    assert detector.look()[-1].first_bad_at == NOON


# -- signals ------------------------------------------------------------------------------------------------


def signals_at(seconds: float, since_s: float, *names: str, resource: str = "service:back") -> list[Signal]:
    """What verification reads at a moment of traffic whose ``back`` fails from second 30 to 60."""

    async def main(simulation: Simulation) -> list[Signal]:
        traffic = SimTraffic(simulation.clock, chain(50), [Disturbance("back", 30, 60, error_rate=1.0)])
        reader = Signals(traffic, simulation.clock, [UpSensor()], {"back-process": "back"})
        start = simulation.clock.now()
        await anyio.sleep(seconds)
        since = start + timedelta(seconds=since_s)
        return [await reader.read(resource, name, since=since) for name in names]

    return run(main)


def test_only_whole_complete_seconds_after_since_are_measured():
    (bad,) = signals_at(50, 40.0, "error_rate")
    assert bad.value == 1.0
    assert bad.sample_size == pytest.approx(8 * 50, rel=0.2), "seconds 40 to 48: the newest are not complete"
    (good,) = signals_at(70, 60.0, "error_rate")
    assert good.value == 0.0
    (part,) = signals_at(63, 59.5, "error_rate")
    assert part.value == 0.0, "second 59 began before since and does not count"


def test_before_a_second_is_complete_the_answer_is_that_nothing_is_known():
    (signal,) = signals_at(62, 61.0, "error_rate")
    assert signal.value is None
    assert signal.sample_size == 0


def test_latency_is_the_95th_percentile_in_milliseconds():
    (signal,) = signals_at(25, 5.0, "latency_p95_ms")
    assert signal.unit == "ms"
    assert signal.value is not None
    assert 5.0 < signal.value < 50.0


def test_a_process_is_measured_by_the_service_it_sends_telemetry_as():
    (signal,) = signals_at(50, 40.0, "error_rate", resource="process:back-process")
    assert signal.value == 1.0


def test_up_is_asked_of_the_sensors_and_unknown_where_none_knows():
    assert signals_at(5, 0.0, "up", resource="process:pay")[0].value == 1.0
    assert signals_at(5, 0.0, "up", resource="process:stranger")[0].value is None


def test_a_service_nobody_has_heard_of_is_unknown():
    assert signals_at(25, 5.0, "error_rate", "latency_p95_ms", resource="service:stranger")[0].value is None


def test_a_resource_without_a_kind_is_refused():
    with pytest.raises(BadRequestError, match="kind:name"):
        signals_at(5, 0.0, "error_rate", resource="back")


# -- health -------------------------------------------------------------------------------------------------


def point(requests: int, errors: int, mean_ms: float) -> RedPoint:
    return RedPoint("one", None, 0, 60, requests=requests, errors=errors, duration_sum_ms=requests * mean_ms)


BY_BOTH_RULES: list[tuple[RedPoint | None, bool, ServiceStatus]] = [
    (None, False, ServiceStatus.UNKNOWN),
    (point(0, 0, 0.0), False, ServiceStatus.UNKNOWN),
    (point(1000, 0, 20.0), False, ServiceStatus.HEALTHY),
    (point(1000, 5, 20.0), False, ServiceStatus.HEALTHY),
    (point(1000, 0, 500.0), False, ServiceStatus.DEGRADED),
    (point(1000, 0, 20.0), True, ServiceStatus.DOWN),
    (None, True, ServiceStatus.DOWN),
]


@pytest.mark.parametrize(
    ("seen", "crashed", "status"),
    [
        *BY_BOTH_RULES,
        (point(1000, 6, 20.0), False, ServiceStatus.DEGRADED),
        (point(1000, 49, 20.0), False, ServiceStatus.DEGRADED),
        (point(1000, 50, 20.0), False, ServiceStatus.DOWN),
    ],
)
def test_the_original_rule_of_service_health(seen: RedPoint | None, crashed: bool, status: ServiceStatus):
    assert original_status(seen, crashed=crashed) is status


@pytest.mark.parametrize(
    ("seen", "crashed", "status"),
    [
        *BY_BOTH_RULES,
        (point(1000, 20, 20.0), False, ServiceStatus.DEGRADED),
        (point(12, 3, 20.0), False, ServiceStatus.DEGRADED),
        (point(1, 1, 20.0), False, ServiceStatus.DEGRADED),
        (point(1000, 500, 20.0), False, ServiceStatus.DEGRADED),
        (point(5, 5, 20.0), False, ServiceStatus.DOWN),
        (point(1000, 600, 20.0), False, ServiceStatus.DOWN),
    ],
)
def test_a_service_is_down_when_that_is_sure(seen: RedPoint | None, crashed: bool, status: ServiceStatus):
    assert status_of(seen, crashed=crashed) is status


def test_health_of_running_services_and_of_the_whole():
    async def main(simulation: Simulation) -> None:
        traffic = SimTraffic(simulation.clock, chain(50), [Disturbance("back", 0, error_rate=0.03)])
        reader = HealthReader(traffic, simulation.clock, lambda: [crash_issue("process:idle")])
        assert reader.overall(reader.services()[:0], 0, 0).score is None
        await anyio.sleep(90)
        health = {one.service: one for one in reader.services()}
        assert health["back"].status is ServiceStatus.DEGRADED
        assert health["back"].request_rate == pytest.approx(50, rel=0.1)
        assert health["back"].availability == pytest.approx(0.97, abs=0.01)
        assert health["back"].last_seen is not None
        assert 0 <= (simulation.clock.now() - health["back"].last_seen).total_seconds() < 3
        assert health["idle"].status is ServiceStatus.DOWN
        assert health["idle"].request_rate is None
        assert health["idle"].open_issues == 1
        overall = reader.overall(list(health.values()), 1, 0)
        assert overall.status is ServiceStatus.DOWN
        assert overall.score == 95
        assert overall.reason == "idle is down."
        alone = reader.overall([health["back"]], 0, 0)
        assert re.fullmatch(r"back is degraded: [234]\.\d% of its requests fail\.", alone.reason)

    run(main)


def test_a_system_that_has_gone_silent_is_unknown_not_healthy():
    async def main(simulation: Simulation) -> None:
        traffic = SimTraffic(simulation.clock, chain(50), [Disturbance("front", 30, silent=True)])
        reader = HealthReader(traffic, simulation.clock, list[Issue])
        await anyio.sleep(200)
        services = reader.services()
        assert {one.status for one in services} == {ServiceStatus.UNKNOWN}
        assert {one.error_rate for one in services} == {None}
        overall = reader.overall(services, 0, 0)
        assert (overall.status, overall.score) == (ServiceStatus.UNKNOWN, None)

    run(main)


def test_the_score_is_the_original_formula_within_its_bounds():
    assert health_score(0, 0) == 100
    assert health_score(4, 2) == 86
    assert health_score(40, 1) == 0
    assert health_score(0, 5) == 100
