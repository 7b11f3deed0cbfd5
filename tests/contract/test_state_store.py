"""What every ``StateStore`` promises. A new store is one more entry in ``STORES``."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from homeostat.core.errors import StoreError
from homeostat.core.events import Event, EventType
from homeostat.core.models import (
    EffectClass,
    Evidence,
    FlagChange,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    IssueType,
    PlanStep,
    Run,
    RunStatus,
    Severity,
    TimelineEntry,
    TimelineKind,
)
from homeostat.core.ports import StateStore
from homeostat.core.records import RecordCounts
from homeostat.runtime import SystemClock
from homeostat.store.state import open_state
from support.memory_state import MemoryState

Opener = Callable[[Path], AbstractAsyncContextManager[StateStore]]

_in_memory: dict[Path, MemoryState] = {}

STORES: dict[str, Opener] = {
    "sqlite": lambda path: open_state(path / "state.db", SystemClock()).opened(),
    "memory": lambda path: _in_memory.setdefault(path, MemoryState()).opened(),
}

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def an_issue(number: int, *, status: IssueStatus = IssueStatus.OPEN) -> Issue:
    return Issue(
        id=f"issue-{number:03}",
        type=IssueType.HIGH_ERROR_RATE,
        severity=Severity.HIGH,
        resource="service:payment",
        fingerprint=f"high_error_rate|service:{number}",
        title="errors",
        description="too many",
        evidence=Evidence(signal="error_rate", observed=0.31, threshold=0.05, unit="ratio"),
        status=status,
        first_bad_at=at(number - 1),
        opened_at=at(number),
        updated_at=at(number),
    )


def an_incident(number: int, *, status: IncidentStatus = IncidentStatus.OPEN) -> Incident:
    return Incident(
        id=f"incident-{number:03}",
        title="payment fails",
        status=status,
        severity=Severity.HIGH,
        issue_ids=("issue-001",),
        affected_services=("payment", "checkout"),
        root_cause=None,
        first_bad_at=at(number - 1),
        opened_at=at(number),
        updated_at=at(number),
    )


def an_entry(number: int, incident_id: str | None = "incident-001") -> TimelineEntry:
    return TimelineEntry(
        id=f"line-{number:03}",
        time=at(number),
        kind=TimelineKind.ACTED,
        title=f"entry {number}",
        incident_id=incident_id,
    )


def a_run(number: int, status: RunStatus = RunStatus.INTENT, *, rearmed_at: datetime | None = None) -> Run:
    return Run(
        id=f"run-{number:03}",
        incident_id=f"incident-{number % 2:03}",
        issue_id="issue-001",
        plan_id="plan-001",
        plan_digest="00",
        step=PlanStep(
            action="disable_flag", resource="flag:errorInjectionEnabled", why="it drives them", confidence=0.9
        ),
        effect=EffectClass.IDEMPOTENT,
        status=status,
        created_at=at(number),
        before={"value": True, "note": "ä\n\x00"},
        rearmed_at=rearmed_at,
    )


def a_change(
    number: int, *, value: bool, was: bool, flag: str = "errorInjectionEnabled", by: str = "manual"
) -> FlagChange:
    return FlagChange(
        id=f"change-{number:03}",
        time=at(number),
        flag=flag,
        previous_value=was,
        new_value=value,
        reason="a test",
        triggered_by=by,
    )


def an_event(number: int, type: EventType = EventType.ALERT, *, ended: float | None = None) -> Event:
    return Event(
        id=f"event-{number:03}",
        time=at(number),
        ended_at=None if ended is None else at(ended),
        type=type,
        title='ä \x00 " €',
        source="test",
        fingerprint=f"f{number}",
        services=("payment", "checkout"),
        data={"value": 0.5, "flag": True, "nothing": None},
    )


@pytest.fixture(params=sorted(STORES))
def opener(request: pytest.FixtureRequest) -> Opener:
    return STORES[request.param]


@pytest.fixture
async def store(opener: Opener, tmp_path: Path) -> AsyncGenerator[StateStore, None]:
    async with opener(tmp_path) as opened:
        yield opened


class TestIssues:
    async def test_what_was_saved_is_read_back_field_by_field(self, store: StateStore) -> None:
        await store.save_issue(an_issue(1))
        assert await store.issue("issue-001") == an_issue(1)

    async def test_an_unknown_issue_is_none(self, store: StateStore) -> None:
        assert await store.issue("issue-404") is None

    async def test_saving_again_replaces(self, store: StateStore) -> None:
        await store.save_issue(an_issue(1))
        closed = an_issue(1, status=IssueStatus.CLOSED).model_copy(update={"closed_at": at(9)})
        await store.save_issue(closed)
        assert await store.issues() == [closed]

    async def test_the_newest_come_first_up_to_the_limit(self, store: StateStore) -> None:
        for number in (2, 4, 1, 3):
            await store.save_issue(an_issue(number))
        assert [issue.id for issue in await store.issues(limit=3)] == ["issue-004", "issue-003", "issue-002"]

    async def test_status_and_time_select(self, store: StateStore) -> None:
        for number in range(1, 7):
            status = IssueStatus.OPEN if number % 2 else IssueStatus.CLOSED
            await store.save_issue(an_issue(number, status=status))
        found = await store.issues(status=IssueStatus.OPEN, since=at(3))
        assert [issue.id for issue in found] == ["issue-005", "issue-003"]


class TestIncidents:
    async def test_an_incident_is_saved_and_replaced(self, store: StateStore) -> None:
        await store.save_incident(an_incident(1))
        closed = an_incident(1, status=IncidentStatus.CLOSED).model_copy(update={"healed": True})
        await store.save_incident(closed)
        assert await store.incident("incident-001") == closed
        assert await store.incident("incident-404") is None

    @pytest.mark.parametrize("late", [IncidentStatus.OPEN, IncidentStatus.ESCALATED, IncidentStatus.CLOSED])
    async def test_a_closed_incident_stays_closed_whatever_older_copy_comes_late(
        self, store: StateStore, late: IncidentStatus
    ) -> None:
        closed = an_incident(1, status=IncidentStatus.CLOSED).model_copy(
            update={"closed_at": at(30), "healed": True, "title": 'ä \x00 " €'}
        )
        await store.save_incident(an_incident(1))
        await store.save_incident(closed)
        await store.save_incident(an_incident(1, status=late))
        await store.record(incidents=[an_incident(1, status=late)])
        assert await store.incident("incident-001") == closed
        assert await store.incidents(open_only=True) == []

    async def test_that_it_was_healed_may_turn_out_after_the_close(self, store: StateStore) -> None:
        closed = an_incident(1, status=IncidentStatus.CLOSED).model_copy(
            update={"closed_at": at(30), "healed": False, "title": 'ä \x00 " €'}
        )
        await store.save_incident(closed)
        await store.save_incident(closed.model_copy(update={"healed": True, "title": "another"}))
        assert await store.incident("incident-001") == closed.model_copy(update={"healed": True})

    async def test_an_escalated_incident_still_counts_as_open(self, store: StateStore) -> None:
        for number, status in enumerate(IncidentStatus, 1):
            await store.save_incident(an_incident(number, status=status))
        found = {incident.status for incident in await store.incidents(open_only=True)}
        assert found == {IncidentStatus.OPEN, IncidentStatus.ESCALATED}

    async def test_incidents_come_newest_first(self, store: StateStore) -> None:
        for number in (1, 3, 2):
            await store.save_incident(an_incident(number))
        assert [incident.id for incident in await store.incidents(limit=2)] == ["incident-003", "incident-002"]
        assert [incident.id for incident in await store.incidents(since=at(2))] == ["incident-003", "incident-002"]


class TestTimeline:
    async def test_the_story_reads_from_the_oldest(self, store: StateStore) -> None:
        for number in (3, 1, 2):
            await store.add_timeline(an_entry(number))
        assert [entry.id for entry in await store.timeline("incident-001")] == ["line-001", "line-002", "line-003"]

    async def test_a_limit_keeps_the_latest_entries(self, store: StateStore) -> None:
        for number in range(1, 6):
            await store.add_timeline(an_entry(number))
        assert [entry.id for entry in await store.timeline(limit=2)] == ["line-004", "line-005"]

    async def test_one_incident_or_everything_or_since_a_time(self, store: StateStore) -> None:
        await store.add_timeline(an_entry(1))
        await store.add_timeline(an_entry(2, None))
        await store.add_timeline(an_entry(3, "incident-002"))
        assert [entry.id for entry in await store.timeline("incident-002")] == ["line-003"]
        assert [entry.id for entry in await store.timeline(since=at(2))] == ["line-002", "line-003"]

    async def test_the_same_entry_twice_is_one(self, store: StateStore) -> None:
        await store.add_timeline(an_entry(1))
        await store.add_timeline(an_entry(1))
        assert len(await store.timeline()) == 1


class TestFindings:
    async def test_issues_incidents_and_their_story_are_recorded_as_one_and_may_be_repeated(
        self, store: StateStore
    ) -> None:
        for _ in range(2):
            await store.record(issues=[an_issue(1)], incidents=[an_incident(1)], entries=[an_entry(1), an_entry(2)])
        assert await store.issues() == [an_issue(1)]
        assert await store.incidents() == [an_incident(1)]
        assert await store.timeline() == [an_entry(1), an_entry(2)]
        await store.record()

    async def test_where_one_of_them_cannot_be_stored_none_is(self, store: StateStore) -> None:
        bad = an_incident(1).model_copy(update={"id": None})
        with pytest.raises(StoreError):
            await store.record(issues=[an_issue(1)], incidents=[bad], entries=[an_entry(1)])
        assert await store.issues() == []
        assert await store.timeline() == []


class TestJournal:
    async def test_the_latest_state_of_a_run_is_read_back(self, store: StateStore) -> None:
        await store.append(a_run(1))
        await store.append(a_run(1, RunStatus.ACTED))
        assert await store.run("run-001") == a_run(1, RunStatus.ACTED)
        assert await store.run("run-404") is None

    async def test_runs_come_newest_first_and_by_incident(self, store: StateStore) -> None:
        for number in (1, 4, 2, 3):
            await store.append(a_run(number))
        assert [run.id for run in await store.runs(limit=3)] == ["run-004", "run-003", "run-002"]
        assert [run.id for run in await store.runs(incident_id="incident-000")] == ["run-004", "run-002"]
        assert [run.id for run in await store.runs(since=at(4))] == ["run-004"]

    async def test_a_restart_is_told_of_every_run_without_an_end(self, store: StateStore) -> None:
        for number, status in enumerate(RunStatus, 1):
            await store.append(a_run(number, status))
        statuses = [run.status for run in await store.unfinished()]
        assert statuses == [RunStatus.AWAITING_APPROVAL, RunStatus.INTENT, RunStatus.ACTED, RunStatus.NOT_HELPED]

    @pytest.mark.parametrize("late", [RunStatus.INTENT, RunStatus.ACTED, RunStatus.NOT_HELPED, RunStatus.FAILED])
    async def test_a_verified_run_stays_verified_whatever_comes_late(
        self, store: StateStore, late: RunStatus
    ) -> None:
        await store.append(a_run(1, RunStatus.VERIFIED))
        await store.append(a_run(1, late))
        assert await store.run("run-001") == a_run(1, RunStatus.VERIFIED)

    @pytest.mark.parametrize("end", [RunStatus.UNDONE, RunStatus.FAILED, RunStatus.REJECTED])
    @pytest.mark.parametrize("late", [RunStatus.ACTED, RunStatus.VERIFIED])
    async def test_an_end_is_final(self, store: StateStore, end: RunStatus, late: RunStatus) -> None:
        await store.append(a_run(1, end))
        await store.append(a_run(1, late))
        found = await store.run("run-001")
        assert found is not None
        assert found.status == end

    async def test_recovery_notes_once_when_it_put_things_back(self, store: StateStore) -> None:
        await store.append(a_run(1, RunStatus.VERIFIED))
        assert [run.id for run in await store.to_rearm()] == ["run-001"]
        await store.append(a_run(1, RunStatus.VERIFIED, rearmed_at=at(60)))
        await store.append(a_run(1, RunStatus.VERIFIED))
        found = await store.run("run-001")
        assert found is not None
        assert found.rearmed_at == at(60)
        assert await store.to_rearm() == []

    async def test_a_person_may_undo_what_was_verified(self, store: StateStore) -> None:
        await store.append(a_run(1, RunStatus.VERIFIED))
        await store.append(a_run(1, RunStatus.UNDONE))
        found = await store.run("run-001")
        assert found is not None
        assert found.status == RunStatus.UNDONE
        assert await store.to_rearm() == []

    @pytest.mark.parametrize("settled", [RunStatus.VERIFIED, RunStatus.UNDONE, RunStatus.FAILED])
    async def test_a_person_may_settle_what_was_in_doubt(self, store: StateStore, settled: RunStatus) -> None:
        await store.append(a_run(1, RunStatus.IN_DOUBT))
        await store.append(a_run(1, RunStatus.ACTED))
        in_doubt = await store.run("run-001")
        assert in_doubt is not None
        assert in_doubt.status == RunStatus.IN_DOUBT
        await store.append(a_run(1, settled))
        found = await store.run("run-001")
        assert found is not None
        assert found.status == settled

    async def test_many_writers_at_once_all_get_their_word_kept(self, store: StateStore) -> None:
        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(store.append, a_run(number))
        assert len(await store.runs(limit=1000)) == 300


class TestFlags:
    async def test_nothing_changed_means_no_values(self, store: StateStore) -> None:
        assert await store.flag_values() == {}
        assert await store.flag_armed() == {}
        assert await store.flag_changes() == []

    async def test_a_change_is_value_and_audit_line(self, store: StateStore) -> None:
        await store.record_flag_change(a_change(1, was=True, value=False))
        await store.record_flag_change(a_change(2, was=False, value=True, flag="cacheEnabled"))
        assert await store.flag_values() == {"errorInjectionEnabled": False, "cacheEnabled": True}
        assert [change.id for change in await store.flag_changes()] == ["change-002", "change-001"]
        assert [change.id for change in await store.flag_changes(limit=1)] == ["change-002"]
        assert [change.id for change in await store.flag_changes(since=at(2))] == ["change-002"]
        assert await store.flag_change("change-002") == (await store.flag_changes(limit=1))[0]
        assert await store.flag_change("nobody") is None

    async def test_what_healing_sets_is_not_what_is_meant(self, store: StateStore) -> None:
        await store.record_flag_change(a_change(1, was=True, value=False, by="homeostat"))
        assert await store.flag_values() == {"errorInjectionEnabled": False}
        assert await store.flag_armed() == {"errorInjectionEnabled": True}
        await store.record_flag_change(a_change(2, was=False, value=False, by="alice"))
        await store.record_flag_change(a_change(3, was=False, value=True, by="homeostat"))
        assert await store.flag_armed() == {"errorInjectionEnabled": False}

    async def test_a_known_change_only_has_its_line_replaced(self, store: StateStore) -> None:
        first = a_change(1, was=True, value=False)
        await store.record_flag_change(first)
        await store.record_flag_change(a_change(2, was=False, value=True))
        await store.record_flag_change(first.model_copy(update={"event_sent": True}))
        assert await store.flag_values() == {"errorInjectionEnabled": True}
        assert [change.event_sent for change in await store.flag_changes()] == [False, True]


class TestSettings:
    async def test_a_setting_is_kept_under_its_key(self, store: StateStore) -> None:
        assert await store.get_setting("mode") is None
        await store.put_setting("mode", '"auto"')
        await store.put_setting("mode", '"observe"')
        assert await store.get_setting("mode") == '"observe"'


class TestDocuments:
    async def test_a_document_is_kept_by_kind_and_id(self, store: StateStore) -> None:
        assert await store.documents("slo") == {}
        await store.put_document("slo", "b", '{"v": 1}')
        await store.put_document("slo", "a", "{}")
        await store.put_document("window", "a", '"other"')
        await store.put_document("slo", "b", '{"v": 2}')
        found = await store.documents("slo")
        assert list(found.items()) == [("b", '{"v": 2}'), ("a", "{}")]
        assert await store.documents("window") == {"a": '"other"'}

    async def test_deleting_says_whether_there_was_one(self, store: StateStore) -> None:
        await store.put_document("slo", "a", "{}")
        await store.put_document("window", "a", "{}")
        assert await store.delete_document("slo", "a") is True
        assert await store.delete_document("slo", "a") is False
        assert await store.documents("slo") == {}
        assert await store.documents("window") == {"a": "{}"}

    async def test_retention_leaves_documents_alone(self, store: StateStore) -> None:
        await store.put_document("slo", "a", "{}")
        assert await store.forget(at(10_000_000)) == 0
        assert await store.documents("slo") == {"a": "{}"}


class TestEvents:
    async def test_an_event_is_read_back_field_by_field_and_replaced_by_its_id(self, store: StateStore) -> None:
        await store.save_event(an_event(1))
        assert await store.events(since=at(0)) == [an_event(1)]
        await store.save_event(an_event(1, ended=5))
        assert await store.events(since=at(0)) == [an_event(1, ended=5)]
        assert await store.event(an_event(1).id) == an_event(1, ended=5)
        assert await store.event("nobody") is None

    async def test_events_come_newest_first_by_type_and_limit(self, store: StateStore) -> None:
        for number in (2, 1, 3):
            await store.save_event(an_event(number, EventType.ANOMALY if number == 2 else EventType.ALERT))
        assert [event.id for event in await store.events(since=at(0))] == ["event-003", "event-002", "event-001"]
        assert [event.id for event in await store.events(since=at(0), limit=1)] == ["event-003"]
        assert [event.id for event in await store.events(since=at(0), type=EventType.ANOMALY)] == ["event-002"]

    async def test_what_lasted_into_the_time_is_in_it(self, store: StateStore) -> None:
        await store.save_event(an_event(1))  # lasts still
        await store.save_event(an_event(2, ended=10))
        await store.save_event(an_event(3, ended=9))
        await store.save_event(an_event(4, EventType.DEPLOYMENT))  # a moment
        await store.save_event(an_event(10))
        await store.save_event(an_event(11))
        found = await store.events(since=at(10), until=at(10))
        assert [event.id for event in found] == ["event-010", "event-002", "event-001"]
        assert "event-004" in {event.id for event in await store.events(since=at(4), until=at(4))}

    async def test_events_that_are_over_are_forgotten_and_those_that_last_stay(self, store: StateStore) -> None:
        await store.save_event(an_event(1))
        await store.save_event(an_event(2, ended=3))
        await store.save_event(an_event(3, ended=30))
        await store.save_event(an_event(4, EventType.DEPLOYMENT))
        assert await store.forget(at(10)) == 2
        assert [event.id for event in await store.events(since=at(0))] == ["event-003", "event-001"]


class TestCounts:
    async def test_an_empty_store_counts_nothing(self, store: StateStore) -> None:
        assert await store.counts() == RecordCounts()

    async def test_what_is_on_record_is_counted(self, store: StateStore) -> None:
        await store.save_issue(an_issue(1))
        await store.save_issue(an_issue(2, status=IssueStatus.CLOSED))
        await store.save_incident(an_incident(1, status=IncidentStatus.ESCALATED))
        await store.add_timeline(an_entry(1).model_copy(update={"kind": TimelineKind.ESCALATED}))
        await store.add_timeline(an_entry(2).model_copy(update={"kind": TimelineKind.PLANNED}))
        done = a_run(1, RunStatus.VERIFIED).model_copy(update={"intent_at": at(1), "finished_at": at(3.5)})
        await store.append(done)
        await store.append(a_run(2, RunStatus.AWAITING_APPROVAL))
        assert await store.counts() == RecordCounts(
            issues_total=2,
            issues_open=1,
            plans_total=1,
            runs_by_status={RunStatus.VERIFIED: 1, RunStatus.AWAITING_APPROVAL: 1},
            runs_begun=1,
            verified_durations_s=(2.5,),
            escalated=1,
        )


class TestRetention:
    async def test_what_is_over_and_old_is_forgotten_and_the_rest_stays(self, store: StateStore) -> None:
        for number in (1, 2, 11):
            await store.save_issue(an_issue(number, status=IssueStatus.OPEN if number == 2 else IssueStatus.CLOSED))
            status = IncidentStatus.ESCALATED if number == 2 else IncidentStatus.CLOSED
            await store.save_incident(an_incident(number, status=status))
            await store.add_timeline(an_entry(number))
        for number, status in enumerate(
            (RunStatus.INTENT, RunStatus.FAILED, RunStatus.VERIFIED, RunStatus.IN_DOUBT), 1
        ):
            await store.append(a_run(number, status))
        await store.append(a_run(5, RunStatus.VERIFIED, rearmed_at=at(6)))
        await store.append(a_run(11, RunStatus.FAILED))
        await store.record_flag_change(a_change(1, was=True, value=False))

        await store.record_flag_change(a_change(2, was=False, value=True))
        await store.record_flag_change(a_change(3, was=True, value=False, flag="cacheEnabled"))
        for incident in ("incident-001", "incident-002", "incident-011"):
            await store.put_setting(f"plan:{incident}", "{}")
        await store.put_setting("planner", "{}")

        assert await store.forget(at(10)) == 9
        assert {issue.id for issue in await store.issues()} == {"issue-002", "issue-011"}
        assert {incident.id for incident in await store.incidents()} == {"incident-002", "incident-011"}
        assert [entry.id for entry in await store.timeline()] == ["line-011"]
        assert {run.id for run in await store.runs()} == {"run-001", "run-004", "run-011"}
        assert await store.to_rearm() == []
        assert [change.id for change in await store.flag_changes()] == ["change-003", "change-002"]
        assert await store.flag_values() == {"errorInjectionEnabled": True, "cacheEnabled": False}
        plans = [await store.get_setting(f"plan:{name}") for name in ("incident-001", "incident-002", "incident-011")]
        assert plans == [None, "{}", "{}"]
        assert await store.get_setting("planner") == "{}"
        assert await store.forget(at(10)) == 0

    async def test_what_waits_to_be_put_back_is_kept_until_its_incident_is_long_over(self, store: StateStore) -> None:
        lasted = an_incident(1, status=IncidentStatus.CLOSED).model_copy(update={"closed_at": at(20)})
        await store.save_incident(lasted)
        await store.append(a_run(1, RunStatus.VERIFIED))
        assert await store.forget(at(10)) == 0
        assert [run.id for run in await store.to_rearm()] == ["run-001"]
        assert await store.incident("incident-001") == lasted
        assert await store.forget(at(30)) == 2
        assert await store.to_rearm() == []

    async def test_much_is_forgotten_while_others_write(self, store: StateStore) -> None:
        async with anyio.create_task_group() as group:
            for number in range(1200):
                group.start_soon(store.add_timeline, an_entry(number))
        async with anyio.create_task_group() as group:
            group.start_soon(store.forget, at(1199))
            for number in range(1200, 1300):
                group.start_soon(store.add_timeline, an_entry(number))
        assert len(await store.timeline(limit=5000)) == 101


async def test_everything_is_there_after_closing_and_opening_again(opener: Opener, tmp_path: Path) -> None:
    async with opener(tmp_path) as store:
        await store.save_issue(an_issue(1))
        await store.save_incident(an_incident(1))
        await store.add_timeline(an_entry(1))
        await store.append(a_run(1))
        await store.record_flag_change(a_change(1, was=True, value=False, by="homeostat"))
        await store.put_setting("k", "1")
    async with opener(tmp_path) as store:
        assert await store.issues() == [an_issue(1)]
        assert await store.incidents() == [an_incident(1)]
        assert await store.timeline() == [an_entry(1)]
        assert await store.unfinished() == [a_run(1)]
        assert await store.flag_values() == {"errorInjectionEnabled": False}
        assert await store.flag_armed() == {"errorInjectionEnabled": True}
        assert await store.get_setting("k") == "1"
