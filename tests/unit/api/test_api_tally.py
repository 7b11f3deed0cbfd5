"""The counts: right after a restart, after a gap, and bounded whatever happens."""

import logging
from datetime import timedelta

import anyio
import pytest
from api_parts import NOW, Setup, a_run, an_issue

from homeostat.api import tally
from homeostat.api.tally import Tally
from homeostat.bus import LocalBus
from homeostat.core.errors import StoreError
from homeostat.core.models import IssueStatus, RunStatus, TimelineEntry, TimelineKind


async def test_after_a_gap_the_record_is_read_again(setup: Setup) -> None:
    setup.bus = LocalBus(queue_messages=2)
    counts = Tally(setup.state, setup.bus)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counts.follow)
        await counts.ready()
        for number in range(5):
            issue = an_issue(f"issue-{number}", opened_at=NOW + timedelta(seconds=number))
            await setup.state.save_issue(issue)
        for number in range(5):  # without a pause: the tally cannot keep up
            setup.bus.publish("issues", an_issue(f"issue-{number}").model_dump(mode="json"))
        with anyio.fail_after(5):
            while counts.counts().issues_total < 5:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert counts.counts().issues_open == 5


def test_only_so_many_records_are_remembered(setup: Setup) -> None:
    counts = Tally(setup.state, setup.bus, records_max=3)
    for number in range(10):
        counts.count_issue(an_issue(f"issue-{number}"))
    assert counts.issues_since(NOW) == 3


async def test_everything_on_record_is_counted_however_little_is_remembered(setup: Setup) -> None:
    for number in range(10):
        status = IssueStatus.OPEN if number < 4 else IssueStatus.CLOSED
        await setup.state.save_issue(an_issue(f"issue-{number}", status=status))
        run_status = RunStatus.FAILED if number < 3 else RunStatus.VERIFIED
        await setup.state.append(a_run(f"run-{number}", status=run_status, finished_at=NOW + timedelta(seconds=2)))
    counts = Tally(setup.state, setup.bus, records_max=3)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(counts.follow)
        await counts.ready()
        tasks.cancel_scope.cancel()
    found = counts.counts()
    assert (found.issues_total, found.issues_open) == (10, 4)
    assert (found.runs_total, found.runs_verified, found.runs_failed) == (10, 7, 3)
    assert counts.healing_durations_s() == (2.0,) * 7


async def test_what_a_person_takes_back_is_not_counted_as_rearmed(setup: Setup) -> None:
    await setup.state.append(a_run("run-1", rearmed_at=NOW))  # taken back by hand
    await setup.state.append(a_run("run-2", rearmed_at=NOW))
    for kind, incident in (
        (TimelineKind.UNDONE, "incident-1"),
        (TimelineKind.RECOVERED, "incident-2"),
        (TimelineKind.PLANNED, "incident-2"),
        (TimelineKind.ESCALATED, "incident-3"),
        (TimelineKind.ESCALATED, "incident-3"),
    ):
        entry_id = f"entry-{len(await setup.state.timeline())}"
        entry = TimelineEntry(id=entry_id, time=NOW, kind=kind, title="", incident_id=incident)
        await setup.state.add_timeline(entry)
    counts = await setup.state.counts()
    assert (counts.rearmed, counts.plans_total, counts.escalated) == (1, 1, 1)


async def test_a_change_of_a_record_is_no_new_record(setup: Setup) -> None:
    await setup.state.save_issue(an_issue("issue-1"))
    before = await setup.state.counts()
    await setup.state.save_issue(an_issue("issue-1", status=IssueStatus.CLOSED))
    after = await setup.state.counts()
    assert (before.issues_total, before.issues_open) == (1, 1)
    assert (after.issues_total, after.issues_open) == (1, 0)


async def test_an_answer_does_not_wait_for_the_counts_for_ever(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "PATIENCE_S", 0.05)
    with pytest.raises(StoreError, match="Retry"):
        await Tally(setup.state, setup.bus).ready()


class StateThatFailsOnce:
    """A state store whose first read of issues goes wrong."""

    def __init__(self, setup: Setup) -> None:
        self._state = setup.state
        self.failures = 0

    async def issues(self, **how: object) -> object:
        if not self.failures:
            self.failures += 1
            raise StoreError("The disk is away for a moment.")
        return await self._state.issues(**how)  # pyright: ignore[reportArgumentType]

    def __getattr__(self, name: str) -> object:
        return getattr(self._state, name)


async def test_a_store_that_fails_at_the_start_is_asked_again(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("homeostat.background.PAUSE_S", 0.05)
    await setup.state.save_issue(an_issue("issue-1"))
    setup.state = StateThatFailsOnce(setup)  # pyright: ignore[reportAttributeAccessIssue]
    with caplog.at_level(logging.ERROR):
        async with setup.client() as client:
            overview = (await client.get("/api/overview")).raise_for_status().json()
    assert overview["loop"]["detect"]["issues_total"] == 1
    assert "begins anew" in caplog.text


async def test_a_store_that_cannot_answer_is_a_503_with_the_reason(setup: Setup) -> None:
    async def issues(**how: object) -> object:
        raise StoreError("The state file is locked by another program. Close it.")

    async with setup.client() as client:
        await client.get("/api/overview")
        setup.state.issues = issues  # pyright: ignore[reportAttributeAccessIssue]
        answer = await client.get("/api/issues")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "The state file is locked by another program. Close it."}
    assert answer.headers["retry-after"] == "5"
