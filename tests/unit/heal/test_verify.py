"""Verification reads only what began after the act has settled, and is in no hurry to condemn."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from homeostat.core.config import DetectConfig
from homeostat.core.dependents import Act, Dependent, DependentState
from homeostat.core.models import ActionSpec, EffectClass, IssueType, Risk, Signal, Verdict
from homeostat.heal.verify import Verifier
from homeostat.sim.world import Simulation, run
from support.runs import an_issue

SPEC = ActionSpec(
    name="cure",
    title="Cure",
    driver="test",
    resource_kinds=("thing",),
    answers=(IssueType.HIGH_ERROR_RATE,),
    risk=Risk.LOW,
    effect=EffectClass.IDEMPOTENT,
    undo=None,
    expected_duration_s=1,
)


class Scripted:
    """Fifteen requests a second, of which ``share(second)`` fail; remembers from when on it was asked."""

    def __init__(self, sim: Simulation, shares: list[float]) -> None:
        self.sim = sim
        self.shares = shares
        self.start = sim.clock.now()
        self.asked_from: list[datetime] = []

    async def read(self, resource: str, name: str, *, since: datetime, operation: str | None = None) -> Signal:
        self.asked_from.append(since)
        now = self.sim.clock.now()
        first = -int(-(since - self.start).total_seconds() // 1)
        last = int((now - self.start).total_seconds())
        seconds = [self.shares[min(second, len(self.shares) - 1)] for second in range(first, last)]
        value = sum(seconds) / len(seconds) if seconds else None
        return Signal(
            resource=resource, name=name, value=value, unit="ratio", time=now, sample_size=15 * len(seconds)
        )


def judged(shares: list[float]) -> tuple[Verdict, float, Scripted]:
    async def main(sim: Simulation) -> tuple[Verdict, float, Scripted]:
        signals = Scripted(sim, shares)
        issue = an_issue(IssueType.HIGH_ERROR_RATE, "service:web")
        verdict = await Verifier(signals, sim.clock, DetectConfig()).verdict(issue, SPEC, sim.clock.now())
        return verdict, (sim.clock.now() - signals.start).total_seconds(), signals

    return run(main)


def test_nothing_before_the_act_has_settled_is_looked_at() -> None:
    _, _, signals = judged([0.3, 0.0])
    assert min(signals.asked_from) == signals.start + timedelta(seconds=SPEC.settle_s)


def test_a_cure_is_known_after_three_seconds() -> None:
    verdict, took_s, _ = judged([0.3, 0.0])
    assert verdict.helped is True
    assert took_s <= 3.25


def test_a_cure_that_takes_a_while_to_work_is_still_one() -> None:
    verdict, took_s, _ = judged([0.3] * 8 + [0.0])
    assert verdict.helped is True
    assert took_s < 15


def test_what_does_not_help_is_told_before_the_whole_time_is_over() -> None:
    verdict, took_s, _ = judged([0.3])
    assert verdict.helped is False
    assert 10 <= took_s < 13


def test_a_cure_that_halves_the_errors_is_none() -> None:
    verdict, took_s, _ = judged([0.3, 0.15])
    assert verdict.helped is False
    assert took_s < 31


def test_a_remedy_that_leaves_more_errors_than_its_issue_closes_at_is_none() -> None:
    verdict, took_s, _ = judged([0.3, 0.035])
    assert verdict.helped is False
    assert "closes at 2.5%" in verdict.reason
    assert took_s <= SPEC.verify_within_s + 0.5


def test_it_never_takes_longer_than_the_action_allows() -> None:
    verdict, took_s, _ = judged([0.045])
    assert verdict.helped is False
    assert took_s <= SPEC.verify_within_s + 0.5


class LateCaller:
    """A caller that says nothing for six seconds after the act, and then that it fails."""

    def __init__(self, sim: Simulation, *, awaited: bool) -> None:
        self._sim = sim
        self._awaited = awaited

    async def look(self, act: Act) -> Sequence[Dependent]:
        if (self._sim.clock.now() - act.since).total_seconds() < 6:
            return [Dependent("caller", 1, DependentState.UNKNOWN, "too few", awaited=self._awaited)]
        return [Dependent("caller", 1, DependentState.WORSE, "caller answers 40.0% errors since the act")]


def judged_with_a_caller(*, awaited: bool) -> tuple[Verdict, float]:
    async def main(sim: Simulation) -> tuple[Verdict, float]:
        issue, began = an_issue(IssueType.HIGH_ERROR_RATE, "service:web"), sim.clock.now()
        caller = LateCaller(sim, awaited=awaited)
        verifier = Verifier(Scripted(sim, [0.3, 0.0]), sim.clock, DetectConfig(), dependents=caller)
        verdict = await verifier.verdict(issue, SPEC, began)
        return verdict, (sim.clock.now() - began).total_seconds()

    return run(main)


def test_harm_that_shows_after_the_first_good_reading_is_seen() -> None:
    verdict, took_s = judged_with_a_caller(awaited=True)
    assert verdict.helped is False
    assert verdict.harmed == ("caller",)
    assert 10 <= took_s <= 11


def test_who_had_no_traffic_before_the_act_is_not_waited_for() -> None:
    verdict, took_s = judged_with_a_caller(awaited=False)
    assert verdict.helped is True
    assert took_s <= 3.25


def test_no_remedy_is_judged_by_a_machines_pressure() -> None:
    async def main(sim: Simulation) -> Verdict:
        issue = an_issue(IssueType.HOST_STARVED, "host:local")
        return await Verifier(Scripted(sim, [0.7]), sim.clock, DetectConfig()).verdict(issue, SPEC, sim.clock.now())

    verdict = run(main)
    assert (verdict.helped, verdict.signal) == (None, "cpu_pressure")
    assert verdict.reason == "Nobody can tell: no remedy is judged by a machine's load."
