"""Which flags ``disable_flag`` suspects, and that healing never overrules a person, against the real flag service."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from homeostat.core.models import IssueType
from homeostat.drivers.flags.actions import DisableFlag
from homeostat.flags import FlagService
from homeostat.runtime import SystemClock, SystemIds
from support.memory_state import MemoryState
from support.runs import a_run, an_incident, an_issue

ERRORS = "errorInjectionEnabled"
SLOW = "slowResponsesEnabled"


@pytest.fixture
def opened() -> AbstractAsyncContextManager[FlagService]:
    return FlagService(MemoryState(), SystemClock(), SystemIds()).opened()


async def suspects(
    flags: FlagService, type_: IssueType, cause: str | None = None, *, read: bool = True
) -> list[tuple[str, float]]:
    """The candidates for trouble that begins now; ``read``: a service asks for its flags before."""
    if read:
        flags.evaluate_all({})
    began = SystemClock().now() + timedelta(seconds=3)
    found = await DisableFlag(flags).targets(an_issue(type_, "service:web", began), an_incident(cause, began))
    return [(target.resource, target.confidence) for target in found]


async def test_a_flag_is_suspected_of_what_it_is_known_to_cause(
    opened: AbstractAsyncContextManager[FlagService],
) -> None:
    async with opened as flags:
        assert await suspects(flags, IssueType.HIGH_ERROR_RATE) == [(f"flag:{ERRORS}", 0.55)]
        assert await suspects(flags, IssueType.HIGH_LATENCY) == [(f"flag:{SLOW}", 0.5)]
        assert await suspects(flags, IssueType.PROCESS_CRASH) == []


async def test_a_flag_that_no_service_reads_is_no_candidate_however_lately_it_was_changed(
    opened: AbstractAsyncContextManager[FlagService],
) -> None:
    async with opened as flags:
        await flags.set(ERRORS, True, reason="try", triggered_by="ada")
        assert await suspects(flags, IssueType.HIGH_ERROR_RATE, cause=f"flag:{ERRORS}", read=False) == []
        flags.evaluate(ERRORS, {})
        assert await suspects(flags, IssueType.HIGH_ERROR_RATE, read=False) == [(f"flag:{ERRORS}", 0.9)]


async def test_a_flag_that_is_off_is_no_candidate(opened: AbstractAsyncContextManager[FlagService]) -> None:
    async with opened as flags:
        await flags.set(SLOW, False, reason="calm", triggered_by="ada")
        assert await suspects(flags, IssueType.HIGH_LATENCY) == []


async def test_a_flag_turned_on_just_before_is_the_first_suspect_whatever_it_is_known_for(
    opened: AbstractAsyncContextManager[FlagService],
) -> None:
    async with opened as flags:
        await flags.set("rateLimitingEnabled", True, reason="try", triggered_by="ada")
        found = await suspects(flags, IssueType.HIGH_ERROR_RATE)
        assert found == [("flag:rateLimitingEnabled", 0.9), (f"flag:{ERRORS}", 0.55)]


async def test_the_named_root_cause_weighs_most(opened: AbstractAsyncContextManager[FlagService]) -> None:
    async with opened as flags:
        found = await suspects(flags, IssueType.HIGH_ERROR_RATE, cause=f"flag:{ERRORS}")
        assert found == [(f"flag:{ERRORS}", 0.95)]


async def test_what_a_person_set_meanwhile_is_neither_undone_nor_rearmed(
    opened: AbstractAsyncContextManager[FlagService],
) -> None:
    async with opened as flags:
        action = DisableFlag(flags)
        run = a_run(action, f"flag:{ERRORS}", await action.prepare(f"flag:{ERRORS}", {}))
        await action.act(run)
        assert flags.values()[ERRORS] is False
        await flags.set(ERRORS, False, reason="leave it off", triggered_by="ada")
        assert await action.rearm(run) is False
        assert flags.values()[ERRORS] is False
        await flags.set(ERRORS, True, reason="on again", triggered_by="ada")
        assert (await action.undo(run))["changed"] is False
        assert flags.values()[ERRORS] is True


async def test_doing_it_again_leaves_one_line_in_the_audit(opened: AbstractAsyncContextManager[FlagService]) -> None:
    async with opened as flags:
        action = DisableFlag(flags)
        run = a_run(action, f"flag:{ERRORS}", await action.prepare(f"flag:{ERRORS}", {}))
        await action.act(run)
        await action.act(run)
        changes = await flags.changes(SystemClock().now() - timedelta(minutes=1))
        assert [(change.flag, change.new_value, change.problem_id) for change in changes] == [
            (ERRORS, False, "incident-1")
        ]
        assert await action.rearm(run) is True
        assert flags.values()[ERRORS] is True
