"""Issues are grouped by who depends on whom, in time, and around one cause."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from homeostat.core.models import (
    Evidence,
    FlagChange,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    IssueType,
    Severity,
)
from homeostat.core.red import Edge, RedPoint
from homeostat.detect.incidents import IncidentBook, IncidentChange
from homeostat.detect.issues import ChangeKind, IssueChange
from homeostat.detect.root_cause import Scene
from homeostat.detect.topology import Topology
from homeostat.sim import SimIds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EDGES = [
    Edge("customers", "auth", 100, 0, 0.0),
    Edge("auth", "account", 100, 0, 0.0),
    Edge("customers", "catalog", 100, 0, 0.0),
    Edge("catalog", "pay", 100, 0, 0.0),
]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def issue(number: int, resource: str, type_: IssueType = IssueType.HIGH_ERROR_RATE, *, seconds: float = 0.0) -> Issue:
    return Issue(
        id=f"issue-{number}",
        type=type_,
        severity=Severity.HIGH,
        resource=resource,
        fingerprint=f"{type_}|{resource}",
        title=f"{resource} has trouble",
        description="",
        evidence=Evidence(signal="error_rate", observed=0.5, threshold=0.05, unit="ratio", detail="numbers."),
        first_bad_at=at(seconds),
        opened_at=at(seconds),
        updated_at=at(seconds),
    )


def scene(self_errors: dict[str, int] | None = None, flags: Sequence[FlagChange] = ()) -> Scene:
    points = {
        name: RedPoint(service=name, operation=None, start_s=0, end_s=5, requests=100, errors=errors)
        for name, errors in (self_errors or {}).items()
    }
    return Scene(
        points=points,
        edges=EDGES,
        topology=Topology(EDGES),
        usual_mean_ms={},
        flag_changes=flags,
        process_services={"pay-process": "pay"},
    )


def turned_on(flag: str, seconds: float) -> FlagChange:
    return FlagChange(
        id="c1", time=at(seconds), flag=flag, previous_value=False, new_value=True, reason="why", triggered_by="ada"
    )


class Desk:
    """An incident book and what it was last told."""

    def __init__(self) -> None:
        self.book = IncidentBook(SimIds())

    def opens(self, seconds: float, known: Scene, *issues: Issue) -> tuple[list[Issue], list[IncidentChange]]:
        named, changes = self.book.apply(
            [IssueChange(ChangeKind.OPENED, one) for one in issues], lambda since: known, at(seconds)
        )
        return [change.issue for change in named], changes

    def closes(self, seconds: float, known: Scene, *issues: Issue) -> list[IncidentChange]:
        closed = [one.model_copy(update={"status": IssueStatus.CLOSED, "closed_at": at(seconds)}) for one in issues]
        return self.book.apply(
            [IssueChange(ChangeKind.CLOSED, one) for one in closed], lambda since: known, at(seconds)
        )[1]


def test_a_cause_and_its_callers_are_one_incident_whichever_is_found_first():
    desk, known = Desk(), scene({"account": 50})
    (victim,), _ = desk.opens(0, known, issue(1, "service:auth"))
    (cause,), (change,) = desk.opens(1, known, issue(2, "service:account", seconds=0))
    assert victim.incident_id == cause.incident_id
    assert change.incident.affected_services == ("account", "auth")
    assert change.incident.root_cause is not None
    assert change.incident.root_cause.resource == "service:account"


def test_two_sick_services_with_a_common_caller_are_two_incidents():
    desk, known = Desk(), scene({"account": 50, "pay": 50})
    (one,), _ = desk.opens(0, scene({"account": 50}), issue(1, "service:account"))
    (caller,), _ = desk.opens(1, known, issue(2, "service:customers", seconds=0))
    (other,), _ = desk.opens(2, known, issue(3, "service:pay", seconds=2))
    assert one.incident_id == caller.incident_id
    assert other.incident_id != one.incident_id


def test_what_begins_long_after_is_another_incident_although_it_is_connected():
    desk, known = Desk(), scene({"account": 50})
    (one,), _ = desk.opens(0, known, issue(1, "service:account"))
    (late,), _ = desk.opens(300, known, issue(2, "service:auth", seconds=300))
    assert one.incident_id != late.incident_id


def test_another_kind_of_trouble_of_the_same_service_joins_however_late():
    desk, known = Desk(), scene({"pay": 50})
    (one,), _ = desk.opens(0, known, issue(1, "service:pay"))
    (crash,), _ = desk.opens(500, known, issue(2, "process:pay-process", IssueType.PROCESS_CRASH, seconds=500))
    assert one.incident_id == crash.incident_id


def test_two_crashed_processes_are_two_incidents_although_one_calls_the_other():
    desk, known = Desk(), scene()
    (one,), _ = desk.opens(0, known, issue(1, "process:auth", IssueType.PROCESS_CRASH))
    (other,), _ = desk.opens(1, known, issue(2, "process:account", IssueType.PROCESS_CRASH, seconds=1))
    assert one.incident_id != other.incident_id


def test_issues_that_began_with_one_flag_change_are_one_incident_without_any_call_between_them():
    known = scene({"account": 5, "pay": 5}, [turned_on("errors", -2)])
    named, changes = Desk().opens(3, known, issue(1, "service:account"), issue(2, "service:pay", seconds=1))
    assert len({one.incident_id for one in named}) == 1
    (change,) = changes
    assert change.incident.root_cause is not None
    assert change.incident.root_cause.resource == "flag:errors"
    assert change.incident.title == "errors causes errors in 2 services"


def test_it_closes_with_its_last_issue():
    desk, known = Desk(), scene({"account": 50})
    (one, two), _ = desk.opens(0, known, issue(1, "service:account"), issue(2, "service:auth"))
    assert [change.kind for change in desk.closes(20, known, one)] in ([], [ChangeKind.UPDATED])
    (change,) = desk.closes(25, known, two)
    assert change.kind is ChangeKind.CLOSED
    assert change.incident.status is IncidentStatus.CLOSED
    assert change.incident.closed_at == at(25)
    assert desk.book.open_incidents() == []


def test_an_issue_that_expires_marks_its_incident_also_when_others_close_later():
    desk, known = Desk(), scene({"account": 50})
    (one, two), _ = desk.opens(0, known, issue(1, "service:account"), issue(2, "service:auth"))
    silent = one.model_copy(update={"status": IssueStatus.CLOSED, "closed_at": at(90000)})
    _, (change,) = desk.book.apply([IssueChange(ChangeKind.EXPIRED, silent)], lambda since: known, at(90000))
    assert change.incident.status is IncidentStatus.OPEN
    assert change.incident.expired
    (change,) = desk.closes(90010, known, two)
    assert change.kind is ChangeKind.CLOSED
    assert change.incident.expired


def test_an_incident_that_closes_by_recovery_has_not_expired():
    desk, known = Desk(), scene({"account": 50})
    (one,), _ = desk.opens(0, known, issue(1, "service:account"))
    (change,) = desk.closes(20, known, one)
    assert not change.incident.expired


def test_a_crash_is_the_cause_even_when_its_callers_were_found_first():
    desk, known = Desk(), scene({"account": 50})
    desk.opens(0, known, issue(1, "service:auth"))
    _, (change,) = desk.opens(1, known, issue(2, "process:account", IssueType.PROCESS_CRASH))
    assert change.incident.root_cause is not None
    assert change.incident.root_cause.resource == "process:account"
    assert change.incident.title == "account crashed, 1 more affected"


def test_a_settled_cause_is_not_replaced_by_a_less_sure_one():
    desk = Desk()
    desk.opens(0, scene({"account": 50}), issue(1, "service:account"), issue(2, "service:auth"))
    _, changes = desk.opens(60, scene({"account": 50, "auth": 60}), issue(3, "service:customers", seconds=60))
    (change,) = changes
    assert change.incident.root_cause is not None
    assert change.incident.root_cause.resource == "service:account"


def test_escalation_by_another_stage_is_kept_until_the_close():
    desk, known = Desk(), scene({"account": 50})
    _, (opened,) = desk.opens(0, known, issue(1, "service:account"))
    desk.book.adopt(opened.incident.model_copy(update={"status": IncidentStatus.ESCALATED}))
    _, (change,) = desk.opens(1, known, issue(2, "service:auth"))
    assert change.incident.status is IncidentStatus.ESCALATED


def test_restored_without_any_open_issue_it_closes_at_the_next_look():
    desk = Desk()
    left_over = Incident(
        id="incident-9",
        title="left over",
        status=IncidentStatus.OPEN,
        severity=Severity.HIGH,
        issue_ids=("issue-1",),
        affected_services=("pay",),
        root_cause=None,
        first_bad_at=at(0),
        opened_at=at(0),
        updated_at=at(0),
    )
    desk.book.restore([left_over], [])
    _, changes = desk.book.apply([], lambda since: scene(), at(60))
    assert [(change.kind, change.incident.id) for change in changes] == [(ChangeKind.CLOSED, "incident-9")]


def test_example_traces_are_added_once_and_survive_an_update():
    desk, known = Desk(), scene({"account": 50})
    _, (opened,) = desk.opens(0, known, issue(1, "service:account"))
    (change,) = desk.book.enrich(opened.incident.id, ["aa" * 16], at(1))
    assert change.incident.root_cause is not None
    assert change.incident.root_cause.example_trace_ids == ("aa" * 16,)
    _, (later,) = desk.opens(2, known, issue(2, "service:auth"))
    assert later.incident.root_cause is not None
    assert later.incident.root_cause.example_trace_ids == ("aa" * 16,)
