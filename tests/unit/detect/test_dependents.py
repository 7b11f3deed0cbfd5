"""Who depends on what was acted upon, and how they are since: read from RED, judged by objectives where there are."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.config import DetectConfig
from homeostat.core.dependents import Act, Dependent, DependentState
from homeostat.core.models import IssueType
from homeostat.core.red import BUCKETS_PER_OCTAVE, HISTOGRAM_BUCKETS, Edge, RedPoint
from homeostat.core.slo import Sli, SliKind, Slo
from homeostat.detect.dependents import DEPENDENTS_MAX, HOPS_MAX, DependentServices, callers

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
S0 = int(T0.timestamp())
PER_S = 15  # requests a second of every service
WORSE, NOT_RECOVERED = DependentState.WORSE, DependentState.NOT_RECOVERED
WELL, UNKNOWN = DependentState.WELL, DependentState.UNKNOWN

Stretch = tuple[int, int]  # seconds from T0, [from, to)


@dataclass(frozen=True)
class Behaviour:
    """How a service answers in a stretch of time."""

    during: Stretch
    requests: int = PER_S
    errors: float = 0.0
    handed: float = 0.0  # the share of requests whose call failed further down
    ms: float = 20.0


@dataclass
class Chronicle:
    """A RedReader that knows what each service did in each second; ``calls`` say who calls whom."""

    calls: dict[str, tuple[str, ...]]
    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    now_s: int = S0
    edge_errors: dict[tuple[str, str], list[tuple[Stretch, float]]] = field(default_factory=dict)
    edge_ms: dict[tuple[str, str], list[tuple[Stretch, float]]] = field(default_factory=dict)  # of each call
    operation: str = "handle"
    reads: int = 0

    def latest_s(self) -> int | None:
        return self.now_s

    def services(self) -> list[str]:
        return sorted(self.behaviours)

    def _at(self, service: str, second: int) -> Behaviour:
        usual = Behaviour((-10_000, 10_000))
        told = [one for one in self.behaviours.get(service, ()) if one.during[0] <= second < one.during[1]]
        return told[-1] if told else usual

    def _point(self, service: str, operation: str | None, start_s: int, end_s: int) -> RedPoint:
        histogram = [0] * HISTOGRAM_BUCKETS
        point = RedPoint(service, operation, start_s, end_s)
        for second in range(start_s - S0, min(end_s, self.now_s) - S0):
            how = self._at(service, second)
            histogram[int(np.ceil(BUCKETS_PER_OCTAVE * np.log2(how.ms * 1000)))] += how.requests
            point = replace(
                point,
                requests=point.requests + how.requests,
                errors=point.errors + round(how.requests * how.errors),
                downstream_errors=point.downstream_errors + round(how.requests * how.handed),
                duration_sum_ms=point.duration_sum_ms + how.requests * how.ms,
            )
        return replace(point, histogram=tuple(histogram))

    def window(self, start_s: int, end_s: int) -> list[RedPoint]:
        self.reads += 1
        found = {name for edge in self.calls.items() for name in (edge[0], *edge[1])}
        points = [self._point(service, None, start_s, end_s) for service in sorted(found)]
        return [point for point in points if point.requests]

    def operations(self, start_s: int, end_s: int) -> list[RedPoint]:
        return [replace(point, operation=self.operation) for point in self.window(start_s, end_s)]

    def series(self, service: str, start_s: int, end_s: int, step_s: int) -> list[RedPoint]:
        raise AssertionError("not asked for")

    def edges(self, start_s: int, end_s: int) -> list[Edge]:
        found: list[Edge] = []
        for caller, callees in self.calls.items():
            for callee in callees:
                errors, ms = 0, 0.0
                for second in range(start_s - S0, min(end_s, self.now_s) - S0):
                    errors += round(PER_S * _told(self.edge_errors.get((caller, callee), ()), second))
                    ms += PER_S * _told(self.edge_ms.get((caller, callee), ()), second)
                found.append(Edge(caller, callee, PER_S * max(0, end_s - start_s), errors, ms))
        return found

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC) + timedelta(seconds=1.6)  # its newest second is complete

    def monotonic(self) -> float:
        return float(self.now_s)


def _told(stretches: Sequence[tuple[Stretch, float]], second: int) -> float:
    return sum(value for during, value in stretches if during[0] <= second < during[1])


SHOP = {"gateway": ("checkout", "catalog"), "checkout": ("payment",), "customers": ("gateway",)}
ACT = Act(
    resource="process:pay-1",
    issue_resource="service:payment",
    issue_type=IssueType.HIGH_LATENCY,
    first_bad_at=T0 - timedelta(seconds=10),
    begun_at=T0 - timedelta(seconds=1),
    since=T0,
)
PROCESSES = {"pay-1": "payment", "checkout-1": "checkout"}
ALWAYS = (-10_000, 10_000)
BEFORE, INCIDENT, AFTER = (-10_000, -10), (-10, -1), (0, 10_000)


def found(
    shop: Chronicle, *, after_s: int = 10, act: Act = ACT, objectives: Sequence[Slo] = (), starved: bool = False
) -> dict[str, Dependent]:
    shop.now_s = S0 + after_s
    reader = DependentServices(
        shop,
        shop,
        DetectConfig(),
        process_services=PROCESSES,
        objectives=lambda: list(objectives),
        starved=lambda: starved,
    )
    return {one.service: one for one in anyio.run(reader.look, act)}


def an_objective(
    kind: SliKind, target: float, threshold_ms: float | None = None, operation: str | None = None
) -> Slo:
    sli = Sli(kind=kind, threshold_ms=threshold_ms, operation=operation)
    return Slo(id="slo-1", name="Checkout is quick", service="checkout", target=target, sli=sli, created_at=T0)


def test_callers_and_their_callers_are_dependents_and_nobody_else() -> None:
    looked = found(Chronicle(SHOP))
    assert {name: one.hops for name, one in looked.items()} == {"payment": 0, "checkout": 1, "gateway": 2}
    assert {one.state for one in looked.values()} == {WELL}


def test_a_caller_that_fails_since_the_act_is_worse_and_the_figures_say_so() -> None:
    looked = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, errors=2 / 15, handed=2 / 15)]}))
    assert looked["checkout"].state is WORSE
    assert looked["checkout"].reason == (
        "checkout answers 13.3% errors in the last 4 s (8 of 60); 0.0% before the incident"
    )
    assert looked["gateway"].state is WELL


def test_a_caller_that_failed_in_the_incident_already_has_not_recovered() -> None:
    sick = [Behaviour(INCIDENT, errors=0.6), Behaviour(AFTER, errors=0.4)]
    looked = found(Chronicle(SHOP, {"checkout": sick}))
    assert looked["checkout"].state is NOT_RECOVERED
    assert "40.0% errors in the last 4 s" in looked["checkout"].reason
    assert "0.0% before the incident" in looked["checkout"].reason


def test_a_caller_that_comes_back_is_well_as_soon_as_its_newest_seconds_are() -> None:
    sick = [Behaviour((-10, 5), errors=0.6)]
    assert found(Chronicle(SHOP, {"checkout": sick}), after_s=4)["checkout"].state is NOT_RECOVERED
    assert found(Chronicle(SHOP, {"checkout": sick}), after_s=9)["checkout"].state is WELL


def test_without_requests_nothing_is_said() -> None:
    looked = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, requests=0)]}))
    assert looked["checkout"].state is UNKNOWN
    assert looked["checkout"].reason == "no request has come to checkout since the act"


def test_before_a_whole_second_has_passed_nothing_is_said_of_anybody() -> None:
    looked = found(Chronicle(SHOP), after_s=0)
    assert {one.state for one in looked.values()} == {UNKNOWN}
    assert {name for name, one in looked.items() if one.awaited} == {"checkout", "gateway"}


def test_who_had_traffic_before_the_act_and_too_little_since_is_waited_for() -> None:
    assert found(Chronicle(SHOP), after_s=1)["checkout"].awaited  # 15 requests
    assert not found(Chronicle(SHOP), after_s=2)["checkout"].awaited  # 30
    silent = [Behaviour(AFTER, requests=0)]
    assert found(Chronicle(SHOP, {"checkout": silent}))["checkout"].awaited
    rare = [Behaviour(ALWAYS, requests=1)]
    assert not found(Chronicle(SHOP, {"checkout": rare}), after_s=5)["checkout"].awaited


def test_after_a_crash_nobody_is_waited_for() -> None:
    crash = replace(ACT, issue_type=IssueType.PROCESS_CRASH)
    for after_s in (0, 1):
        assert not any(one.awaited for one in found(Chronicle(SHOP), after_s=after_s, act=crash).values())


def test_what_a_crash_has_left_behind_is_not_the_restarts_doing() -> None:
    """Restarted within the second; for a while those who call it do not dare to."""
    crash = replace(ACT, issue_type=IssueType.PROCESS_CRASH, first_bad_at=T0 - timedelta(seconds=1))
    looked = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, errors=0.4)]}), act=crash)
    assert looked["checkout"].state is NOT_RECOVERED


def test_of_an_act_in_the_first_second_of_its_incident_nobody_is_said_to_be_worse() -> None:
    at_once = replace(ACT, first_bad_at=T0 - timedelta(seconds=2))  # fifteen requests in between
    looked = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, errors=0.4)]}), act=at_once)
    assert looked["checkout"].state is NOT_RECOVERED


def test_a_service_that_was_never_called_before_has_nothing_to_be_compared_with() -> None:
    new = [Behaviour((-10_000, 0), requests=0), Behaviour(AFTER, errors=0.4)]
    assert found(Chronicle(SHOP, {"checkout": new}))["checkout"].state is UNKNOWN


def test_what_a_caller_was_handed_by_others_is_not_the_acts_doing() -> None:
    shop = Chronicle(SHOP, {"gateway": [Behaviour(AFTER, errors=0.4)]})
    assert found(shop)["gateway"].state is WORSE
    shop.edge_errors["gateway", "catalog"] = [(AFTER, 0.4)]
    assert found(shop)["gateway"].state is WELL


def test_what_a_caller_has_always_lived_with_is_no_excuse_for_what_it_fails_now() -> None:
    shop = Chronicle(SHOP, {"gateway": [Behaviour(AFTER, errors=0.4)]})
    shop.edge_errors["gateway", "catalog"] = [(ALWAYS, 0.4)]
    assert found(shop)["gateway"].state is WORSE
    shop.edge_errors["gateway", "catalog"] = [((-10, 10_000), 0.4)]  # since the incident, and not since the act
    assert found(shop)["gateway"].state is WORSE


def test_where_calls_to_both_sides_fail_each_explains_its_share() -> None:
    shop = Chronicle(SHOP, {"gateway": [Behaviour(AFTER, errors=0.4)]})
    shop.edge_errors["gateway", "checkout"] = [(AFTER, 0.4)]
    shop.edge_errors["gateway", "catalog"] = [(AFTER, 1.2)]  # each is tried three times, and lived with
    looked = found(shop)["gateway"]
    assert looked.state is WORSE
    assert looked.reason.startswith("gateway answers 10.0% errors")


def test_what_came_from_beside_is_handed_on_from_caller_to_caller() -> None:
    calls = {**SHOP, "checkout": ("payment", "mail")}
    failing = {name: [Behaviour(AFTER, errors=0.4)] for name in ("checkout", "gateway")}
    shop = Chronicle(calls, failing)
    shop.edge_errors["gateway", "checkout"] = [(AFTER, 0.4)]
    assert {found(shop)[name].state for name in failing} == {WORSE}
    shop.edge_errors["checkout", "mail"] = [(AFTER, 0.4)]
    assert {found(shop)[name].state for name in failing} == {WELL}


def test_who_is_slow_because_a_service_beside_the_act_is_was_not_harmed_by_it() -> None:
    shop = Chronicle(SHOP, {"gateway": [Behaviour(AFTER, ms=900)]})
    shop.edge_ms["gateway", "catalog"] = [((-10_000, 0), 5.0), (AFTER, 100.0)]
    assert found(shop)["gateway"].state is WORSE
    shop.edge_ms["gateway", "catalog"] = [((-10_000, 0), 5.0), (AFTER, 880.0)]
    assert found(shop)["gateway"].state is NOT_RECOVERED


def test_slowness_from_beside_is_handed_on_from_caller_to_caller() -> None:
    slow = {name: [Behaviour(AFTER, ms=900)] for name in ("checkout", "gateway")}
    shop = Chronicle({**SHOP, "checkout": ("payment", "mail")}, slow)
    shop.edge_ms["gateway", "checkout"] = [((-10_000, 0), 20.0), (AFTER, 900.0)]
    assert {found(shop)[name].state for name in slow} == {WORSE}
    shop.edge_ms["checkout", "mail"] = [((-10_000, 0), 5.0), (AFTER, 880.0)]
    assert {found(shop)[name].state for name in slow} == {NOT_RECOVERED}


def test_a_caller_that_turns_slow_is_worse() -> None:
    looked = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, ms=900)]}))
    assert looked["checkout"].state is WORSE
    assert "95th percentile" in looked["checkout"].reason


def test_on_a_starved_machine_slowness_is_not_held_against_the_act_but_errors_are() -> None:
    slow = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, ms=900)]}), starved=True)
    assert slow["checkout"].state is NOT_RECOVERED
    failing = found(Chronicle(SHOP, {"checkout": [Behaviour(AFTER, errors=0.4)]}), starved=True)
    assert failing["checkout"].state is WORSE
    another_machine = found(Chronicle(SHOP, {"gateway": [Behaviour(AFTER, ms=900)]}), starved=True)
    assert another_machine["gateway"].state is WORSE


def test_a_little_slower_is_no_harm_unless_an_objective_says_so() -> None:
    shop = Chronicle(SHOP, {"checkout": [Behaviour(AFTER, ms=150)]})
    assert found(shop)["checkout"].state is WELL
    strict = an_objective(SliKind.LATENCY, 0.95, threshold_ms=100)
    assert found(shop, objectives=[strict])["checkout"].state is WORSE
    assert "objective 'Checkout is quick' allows 5%" in found(shop, objectives=[strict])["checkout"].reason


def test_slow_as_it_is_by_nature_is_no_harm() -> None:
    slow = [Behaviour((-10_000, 0), ms=1800), Behaviour(AFTER, ms=2000)]
    assert found(Chronicle(SHOP, {"checkout": slow}))["checkout"].state is WELL


def test_who_was_slow_in_the_incident_is_worse_only_when_slower_still() -> None:
    slow = [Behaviour(INCIDENT, ms=1000), Behaviour(AFTER, ms=1000)]
    assert found(Chronicle(SHOP, {"checkout": slow}))["checkout"].state is NOT_RECOVERED
    slower = [Behaviour(INCIDENT, ms=1000), Behaviour(AFTER, ms=4000)]
    assert found(Chronicle(SHOP, {"checkout": slower}))["checkout"].state is WORSE


def test_an_objective_decides_how_many_errors_are_too_many() -> None:
    shop = Chronicle(SHOP, {"checkout": [Behaviour(AFTER, errors=1 / 15)]})
    assert found(shop, after_s=20)["checkout"].state is WORSE
    generous = an_objective(SliKind.AVAILABILITY, 0.9)
    assert found(shop, after_s=20, objectives=[generous])["checkout"].state is WELL
    strict = an_objective(SliKind.AVAILABILITY, 0.999)
    assert found(shop, after_s=20, objectives=[generous, strict])["checkout"].state is WORSE


def test_an_objective_of_one_operation_is_asked_of_that_operation() -> None:
    shop = Chronicle(SHOP, {"checkout": [Behaviour(AFTER, ms=150)]})
    of_operation = an_objective(SliKind.LATENCY, 0.95, threshold_ms=100, operation="handle")
    assert found(shop, objectives=[of_operation])["checkout"].state is WORSE
    of_another = an_objective(SliKind.LATENCY, 0.95, threshold_ms=100, operation="other")
    assert found(shop, objectives=[of_another])["checkout"].state is WELL


def test_what_was_touched_is_asked_for_its_own_errors_but_not_after_a_crash() -> None:
    shop = Chronicle(SHOP, {"payment": [Behaviour(AFTER, errors=0.4)]})
    assert found(shop)["payment"].state is WORSE
    assert "payment" not in found(shop, act=replace(ACT, issue_type=IssueType.PROCESS_CRASH))
    handed = Chronicle(SHOP, {"payment": [Behaviour(AFTER, errors=0.4, handed=0.4)]})
    assert found(handed)["payment"].state is WELL


def test_of_a_flag_those_count_who_call_the_service_whose_trouble_it_answers() -> None:
    looked = found(Chronicle(SHOP), act=replace(ACT, resource="flag:slowResponsesEnabled"))
    assert {name: one.hops for name, one in looked.items()} == {"payment": 0, "checkout": 1, "gateway": 2}


def test_what_was_before_is_read_once_and_the_rest_once_a_second() -> None:
    shop = Chronicle(SHOP)
    reader = DependentServices(shop, shop, DetectConfig(), process_services=PROCESSES)
    for second in (5, 5, 5, 6, 6):
        shop.now_s = S0 + second
        anyio.run(reader.look, ACT)
    assert shop.reads == 2 + 2 * 2  # before and during; the last four seconds and all since, in two seconds


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_circles_of_calls_end(depth: int) -> None:
    names = [f"s{number}" for number in range(depth)]
    circle = [Edge(one, names[(place + 1) % depth], 1, 0, 0.0) for place, one in enumerate(names)]
    assert set(callers("s0", circle)) <= set(names)


edges = st.lists(
    st.builds(
        Edge, st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"), st.integers(0, 99), st.just(0), st.just(0.0)
    ),
    max_size=40,
)


@given(edges)
def test_every_dependent_calls_one_that_is_a_call_nearer(calls: list[Edge]) -> None:
    hops = callers("a", calls)
    for service, distance in hops.items():
        assert distance <= HOPS_MAX
        assert (service == "a") == (distance == 0)
        if distance:
            assert any(edge.caller == service and hops.get(edge.callee) == distance - 1 for edge in calls)


def test_of_many_callers_the_busiest_are_looked_at() -> None:
    calls = [Edge(f"caller-{number:03}", "payment", number, 0, 0.0) for number in range(DEPENDENTS_MAX + 100)]
    hops = callers("payment", calls)
    assert len(hops) == DEPENDENTS_MAX + 1
    assert f"caller-{DEPENDENTS_MAX + 99:03}" in hops
    assert "caller-000" not in hops
