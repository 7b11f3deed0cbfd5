"""Detection over hours of virtual time: nothing where nothing is wrong, and every fault within its time.

Each test shows its numbers when it fails.
"""

import statistics
from datetime import timedelta

import pytest

from homeostat.core.models import FlagChange, IssueType, SensorEvent
from homeostat.detect import ChangeKind, Detection
from homeostat.sim import Simulation
from homeostat.sim.traffic import Disturbance, SimService, SimTraffic
from support.sim_detection import FlagHistory, Told, chain, watch

WARM_S = 120.0
"""Two minutes of normal time before a fault: what a baseline needs."""


def shop_and_bank(rate: float, background: float) -> list[SimService]:
    """Customers of two chains that share nothing, with ordinary noise."""
    return [
        SimService("customers", ("AuthService", "ProductCatalog"), entry_rate=rate, median_ms=2.0),
        SimService(
            "AuthService", ("AccountService",), error_rate=background, median_ms=8.0, operations=("Login", "Logout")
        ),
        SimService("AccountService", ("TransferService",), error_rate=background, median_ms=12.0, spread=0.8),
        SimService("TransferService", error_rate=background, median_ms=20.0, spread=1.0),
        SimService("ProductCatalog", ("PaymentProcessor",), error_rate=background, median_ms=5.0),
        SimService("PaymentProcessor", error_rate=background, median_ms=30.0, spread=0.7),
    ]


@pytest.mark.parametrize(("seed", "background"), [(1, 0.001), (2, 0.003), (3, 0.01), (4, 0.0), (5, 0.005)])
def test_two_hours_of_healthy_noisy_traffic_raise_no_issue(seed: int, background: float):
    """Five of these are ten virtual hours. At 1 % each, ``customers`` sees five services' errors: 5 % in all would
    be the threshold itself, so the noisiest run has fewer of them."""
    services = shop_and_bank(16.0, background if background < 0.01 else 0.006)
    told = watch(services, for_s=7_200, seed=seed, step_s=1.0)
    assert [(at, issue.title) for at, issue in told.opened()] == []


@pytest.mark.parametrize("seed", [1, 2])
def test_an_hour_at_three_percent_of_errors_is_not_called_more_than_five(seed: int):
    told = watch(chain(30.0, background=0.03, length=1), for_s=3_600, seed=seed, step_s=1.0)
    assert [(at, issue.evidence.detail) for at, issue in told.opened()] == []


def test_a_service_that_is_slow_by_nature_is_normal_once_it_is_known():
    """Its p95 is always above the threshold. Before there is a baseline that is an issue; then it closes for good."""
    services = [SimService("report", entry_rate=15.0, median_ms=900.0, spread=0.3)]
    told = watch(services, for_s=1_800, step_s=1.0)
    assert len(told.opened()) <= 1, told.opened()
    assert all(at < 60 for at, _ in told.opened())
    assert len(told.closed_incidents()) == len(told.opened())


def delays(fault: Disturbance, rate: float, background: float, runs: int) -> tuple[list[float], list[str | None]]:
    """Seconds from fault to incident, and the named causes, over seeds and positions within the second."""
    found: list[float] = []
    causes: list[str | None] = []
    for seed in range(runs):
        start = WARM_S + (seed * 0.137) % 1.0
        at_start = Disturbance(fault.service, start, error_rate=fault.error_rate, added_ms=fault.added_ms)
        told = watch(
            chain(rate, background=background),
            [at_start],
            for_s=start + 90,
            seed=seed,
            first_look_s=WARM_S - 30,
            until=lambda told: bool(told.opened_incidents()),
        )
        assert told.opened_incidents(), f"{fault} at seed {seed} was never found"
        at, incident = told.opened_incidents()[0]
        found.append(at - start)
        causes.append(incident.root_cause.resource if incident.root_cause else None)
    return sorted(found), causes


@pytest.mark.parametrize(
    ("fault", "median_s", "worst_s"),
    [
        (Disturbance("back", 0, error_rate=1.0), 2.6, 3.2),
        (Disturbance("back", 0, error_rate=0.5), 2.7, 3.5),
        (Disturbance("back", 0, error_rate=0.3), 3.0, 4.0),
        (Disturbance("back", 0, error_rate=0.2), 3.5, 8.0),
        (Disturbance("back", 0, error_rate=0.1), 8.0, 30.0),
        (Disturbance("back", 0, added_ms=600.0), 3.0, 4.0),
    ],
    ids=["all fail", "half fail", "30 % fail", "20 % fail", "10 % fail", "600 ms slower"],
)
def test_a_fault_at_15_requests_a_second_is_found_in_its_time_and_where_it_is(
    fault: Disturbance, median_s: float, worst_s: float
):
    found, causes = delays(fault, rate=15.0, background=0.0, runs=12)
    assert statistics.median(found) <= median_s, found
    assert found[-1] <= worst_s, found
    assert causes.count("service:back") >= 11, causes


def test_a_weak_fault_is_found_later_but_found():
    found, _ = delays(Disturbance("back", 0, error_rate=0.09), rate=16.0, background=0.002, runs=5)
    assert found[-1] <= 60.0, found


def test_a_fault_that_flaps_is_one_issue_until_it_ends():
    flaps = [Disturbance("back", WARM_S + 6 * n, WARM_S + 6 * n + 3, error_rate=0.8) for n in range(20)]
    told = watch(chain(15.0), flaps, for_s=WARM_S + 180)
    assert len(told.opened_incidents()) == 1, told.opened_incidents()
    by_service = [issue.resource for _, issue in told.opened()]
    assert sorted(by_service) == sorted(set(by_service)), told.opened()
    assert len(told.closed_incidents()) == 1


def test_an_incident_closes_soon_after_the_fault_has_ended_and_not_before():
    told = watch(chain(15.0), [Disturbance("back", WARM_S, WARM_S + 60, error_rate=0.4)], for_s=WARM_S + 120)
    (closed_at, incident), *more = told.closed_incidents()
    assert not more
    assert WARM_S + 60 + 5 <= closed_at <= WARM_S + 60 + 15, closed_at
    assert incident.affected_services == ("back", "front", "mid")


def test_twenty_faults_in_a_row_are_twenty_incidents_with_the_right_cause_and_onset():
    starts = [WARM_S + 45.0 * n + (n * 0.31) % 1.0 for n in range(20)]
    faults = [Disturbance("back", start, start + 15, error_rate=0.3) for start in starts]
    told = watch(chain(15.0, background=0.002), faults, for_s=WARM_S + 45 * 20)
    opened = told.opened_incidents()
    assert len(opened) == 20, [at for at, _ in opened]
    for start, (at, incident) in zip(starts, opened, strict=True):
        assert at - start <= 6.0, (at, start)
        assert incident.root_cause is not None
        assert incident.root_cause.resource == "service:back"
        onset = incident.first_bad_at.timestamp() % 3_600
        assert -2.0 <= onset - start <= 1.5, (onset, start)


def test_two_unrelated_services_are_two_incidents_although_one_caller_suffers_from_both():
    faults = [
        Disturbance("TransferService", WARM_S, error_rate=0.5),
        Disturbance("PaymentProcessor", WARM_S + 4, error_rate=0.5),
    ]
    told = watch(shop_and_bank(16.0, 0.001), faults, for_s=WARM_S + 40)
    causes = [
        incident.root_cause.resource for _, incident in told.opened_incidents() if incident.root_cause is not None
    ]
    assert causes == ["service:TransferService", "service:PaymentProcessor"]


def test_a_silent_service_without_a_sensor_is_named_by_the_calls_that_fail():
    told = watch(chain(15.0), [Disturbance("back", WARM_S, silent=True)], for_s=WARM_S + 20)
    _, incident = told.opened_incidents()[0]
    assert incident.root_cause is not None
    assert incident.root_cause.resource == "service:back"


def test_no_traffic_at_all_closes_nothing():
    def stop_everything(now_s: float, watching: Detection, traffic: SimTraffic, simulation: Simulation) -> None:
        if now_s == WARM_S + 20:
            traffic.disturb(Disturbance("front", now_s, silent=True))

    told = watch(chain(15.0), [Disturbance("back", WARM_S, error_rate=0.6)], for_s=WARM_S + 900, act=stop_everything)
    assert len(told.opened_incidents()) == 1
    assert told.closed_incidents() == []


def test_a_crash_and_what_its_callers_suffer_are_one_incident_found_at_once():
    def crash(now_s: float, watching: Detection, traffic: SimTraffic, simulation: Simulation) -> None:
        if now_s == WARM_S:
            watching.sense(sensor_event(simulation, bad=True))
        if now_s == WARM_S + 10:
            traffic.calm("back")
            watching.sense(sensor_event(simulation, bad=False))

    told = watch(chain(15.0), [Disturbance("back", WARM_S, silent=True)], for_s=WARM_S + 60, act=crash)
    (at, incident), *more = told.opened_incidents()
    assert not more
    assert at == WARM_S
    assert incident.root_cause is not None
    assert incident.root_cause.resource == "process:back"
    (closed_at, closed), *_ = told.closed_incidents()
    assert len(closed.issue_ids) == 3  # the crash, mid and front
    assert closed.affected_services == ("back", "front", "mid")
    assert WARM_S + 15 <= closed_at <= WARM_S + 25


def sensor_event(simulation: Simulation, *, bad: bool) -> SensorEvent:
    return SensorEvent(
        resource="process:back",
        type=IssueType.PROCESS_CRASH,
        bad=bad,
        time=simulation.clock.now(),
        detail="killed by signal 9" if bad else "runs again",
    )


def flag_scenario(change_gap_s: float) -> Told:
    """Every step of both chains begins to fail a little, ``change_gap_s`` after a flag was turned on."""
    history = FlagHistory()
    faults = [
        Disturbance(name, WARM_S + 1.3, WARM_S + 30, error_rate=0.08)
        for name in ("AuthService", "AccountService", "TransferService", "ProductCatalog", "PaymentProcessor")
    ]

    def turn_on(now_s: float, watching: Detection, traffic: SimTraffic, simulation: Simulation) -> None:
        if now_s == WARM_S + 2:
            history.all.append(
                FlagChange(
                    id="change-1",
                    time=simulation.clock.now() - timedelta(seconds=0.7 + change_gap_s),
                    flag="errorInjectionEnabled",
                    previous_value=False,
                    new_value=True,
                    reason="practice",
                    triggered_by="ada",
                )
            )

    return watch(shop_and_bank(16.0, 0.0), faults, for_s=WARM_S + 70, act=turn_on, flags=history)


def test_errors_that_begin_everywhere_after_a_flag_change_are_one_incident_caused_by_the_flag():
    told = flag_scenario(change_gap_s=0.5)
    (at, incident), *more = told.opened_incidents()
    assert not more, [other.title for _, other in more]
    assert at <= WARM_S + 1.3 + 5
    assert incident.root_cause is not None
    assert incident.root_cause.resource == "flag:errorInjectionEnabled"
    assert incident.root_cause.confidence >= 0.9
    _, closed = told.closed_incidents()[0]
    assert set(closed.affected_services) >= {"AuthService", "ProductCatalog", "customers"}


def test_a_flag_change_of_long_ago_is_not_blamed():
    told = flag_scenario(change_gap_s=60.0)
    causes = {
        incident.root_cause.resource for _, incident in told.opened_incidents() if incident.root_cause is not None
    }
    assert "flag:errorInjectionEnabled" not in causes


def test_detection_restored_in_the_middle_of_an_incident_opens_nothing_twice_and_closes_it():
    services, fault = chain(15.0), Disturbance("back", WARM_S, WARM_S + 40, error_rate=0.5)
    first = watch(services, [fault], for_s=WARM_S + 20)
    issues = [issue for _, issue in first.opened()]
    incidents = [first.incidents[-1][1].incident]
    assert len(first.opened_incidents()) == 1

    def restore(now_s: float, watching: Detection, traffic: SimTraffic, simulation: Simulation) -> None:
        if now_s == WARM_S + 20:
            watching.restore(issues, incidents, simulation.clock.now())

    second = watch(services, [fault], for_s=WARM_S + 80, first_look_s=WARM_S + 19.5, act=restore)
    assert second.opened() == []
    assert [change.issue.id for _, change in second.issues if change.kind is ChangeKind.CLOSED]
    assert {incident.id for _, incident in second.closed_incidents()} == {incidents[0].id}
