"""What is tried, in which order, and what an approval binds to."""

from collections.abc import Sequence

from homeostat.core.models import (
    ActionSpec,
    EffectClass,
    Incident,
    Issue,
    IssueType,
    PlanStep,
    Risk,
    Run,
    Scalar,
    Target,
)
from homeostat.heal.planner import Planner, digest
from homeostat.runtime import SystemClock, SystemIds
from support.runs import an_incident, an_issue


class Offer:
    """An action that only offers targets."""

    def __init__(
        self,
        name: str,
        *targets: tuple[str, float],
        risk: Risk = Risk.LOW,
        answers: tuple[IssueType, ...] = (IssueType.HIGH_ERROR_RATE,),
    ) -> None:
        self._targets = targets
        self.spec = ActionSpec(
            name=name,
            title=name,
            driver="test",
            resource_kinds=("thing",),
            answers=answers,
            risk=risk,
            effect=EffectClass.IDEMPOTENT,
            undo=None,
            expected_duration_s=1,
        )

    async def targets(self, issue: Issue, incident: Incident) -> Sequence[Target]:
        return [Target(resource=resource, why="because", confidence=value) for resource, value in self._targets]

    async def prepare(self, resource: str, parameters: dict[str, Scalar]) -> dict[str, Scalar]:
        return {}

    async def act(self, run: Run) -> dict[str, Scalar]:
        return {}

    async def probe(self, run: Run) -> bool | None:
        return None

    async def undo(self, run: Run) -> dict[str, Scalar]:
        return {}

    async def rearm(self, run: Run) -> bool:
        return False


def planner(*offers: Offer, at_most: int = 3) -> Planner:
    return Planner({offer.spec.name: offer for offer in offers}, SystemClock(), SystemIds(), at_most)


ISSUE = an_issue(IssueType.HIGH_ERROR_RATE, "service:web")


async def order(found: Planner, cause: str | None = None) -> list[str]:
    return [step.resource for step in (await found.plan(an_incident(cause), [ISSUE])).steps]


async def test_the_more_confident_comes_first_and_no_more_than_the_configured_number() -> None:
    found = planner(Offer("a", ("thing:1", 0.2), ("thing:2", 0.8)), Offer("b", ("thing:3", 0.5), ("thing:4", 0.1)))
    assert await order(found) == ["thing:2", "thing:3", "thing:1"]


async def test_a_high_risk_stands_behind_a_low_one_of_the_same_confidence() -> None:
    assert await order(planner(Offer("a", ("thing:1", 0.8), risk=Risk.HIGH), Offer("b", ("thing:2", 0.8)))) == [
        "thing:2",
        "thing:1",
    ]


async def test_what_touches_the_root_cause_comes_first() -> None:
    found = planner(Offer("a", ("process:web", 0.5), ("process:db", 0.4)))
    assert await order(found, cause="service:db") == ["process:db", "process:web"]


async def test_an_issue_that_no_action_answers_makes_an_empty_plan() -> None:
    crash = an_issue(IssueType.PROCESS_CRASH, "process:web")
    assert (await planner(Offer("a", ("thing:1", 0.5))).plan(an_incident(), [crash])).steps == ()


async def test_what_was_tried_in_vain_is_left_out_and_what_helped_only_for_other_issues() -> None:
    found = planner(Offer("a", ("thing:1", 0.5), ("thing:2", 0.4)))
    plan = await found.plan(an_incident(), [ISSUE], in_vain={("a", "thing:1")})
    assert [step.resource for step in plan.steps] == ["thing:2"]
    plan = await found.plan(an_incident(), [ISSUE], helped={("a", "thing:1"): ISSUE.id, ("a", "thing:2"): "another"})
    assert [step.resource for step in plan.steps] == ["thing:1"]


async def test_what_did_harm_is_left_out_but_for_a_crash() -> None:
    both = (IssueType.HIGH_ERROR_RATE, IssueType.PROCESS_CRASH)
    found = planner(Offer("restart", ("process:web", 0.9), answers=both), Offer("switch", ("flag:new", 0.8)))
    crash = an_issue(IssueType.PROCESS_CRASH, "process:web").model_copy(update={"id": "issue-2"})
    harmful = {("restart", "process:web"), ("switch", "flag:new")}
    assert (await found.plan(an_incident(), [ISSUE], did_harm=harmful)).steps == ()
    steps = (await found.plan(an_incident(), [ISSUE, crash], did_harm=harmful)).steps
    assert [(step.action, step.issue_id) for step in steps] == [("restart", "issue-2")]


async def test_the_digest_changes_with_every_part_of_a_step_and_with_the_order() -> None:
    one = PlanStep(action="a", resource="thing:1", why="because", confidence=0.5, parameters={"x": 1})
    variants = [
        one,
        one.model_copy(update={"action": "b"}),
        one.model_copy(update={"resource": "thing:2"}),
        one.model_copy(update={"why": "therefore"}),
        one.model_copy(update={"confidence": 0.51}),
        one.model_copy(update={"parameters": {"x": 2}}),
        one.model_copy(update={"issue_id": "issue-2"}),
    ]
    digests = {digest([step]) for step in variants} | {digest([one, variants[1]]), digest([variants[1], one])}
    assert len(digests) == len(variants) + 2
    assert digest([one]) == digest([one.model_copy()])
