"""Issues open once, update quietly, and close only when their signal has been good for long enough."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.models import Evidence, Finding, Issue, IssueStatus, IssueType, Severity
from homeostat.detect.issues import FORGET_AFTER, ChangeKind, IssueBook, IssueChange
from homeostat.sim import SimIds

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CLOSE_AFTER = timedelta(seconds=5)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def finding(
    seconds: float,
    bad: bool | None,
    *,
    resource: str = "service:pay",
    severity: Severity = Severity.HIGH,
    observed: float = 0.2,
    window_s: float = 0.0,
    first_bad_s: float | None = None,
) -> Finding:
    return Finding(
        detector="error_rate",
        type=IssueType.HIGH_ERROR_RATE,
        resource=resource,
        bad=bad,
        severity=severity,
        evidence=Evidence(
            signal="error_rate", observed=observed, threshold=0.05, unit="ratio", window_s=window_s, detail="numbers."
        ),
        time=at(seconds),
        first_bad_at=None if first_bad_s is None else at(first_bad_s),
    )


def book() -> IssueBook:
    return IssueBook(SimIds(), CLOSE_AFTER)


def look(issues: IssueBook, seconds: float, bad: bool | None, **more: float) -> list[tuple[ChangeKind, str]]:
    changes = issues.apply([finding(seconds, bad, **more)], at(seconds))  # pyright: ignore[reportArgumentType]
    return [(change.kind, change.issue.id) for change in changes]


def test_a_bad_finding_opens_one_issue_and_says_since_when():
    issues = book()
    (change,) = issues.apply([finding(10, True, first_bad_s=7)], at(10))
    assert change.kind is ChangeKind.OPENED
    assert change.issue.first_bad_at == at(7)
    assert change.issue.opened_at == at(10)
    assert change.issue.fingerprint == "high_error_rate|service:pay"
    assert change.issue.title == "pay fails 20% of its requests"
    assert look(issues, 10.5, True) == []
    assert len(issues.open_issues()) == 1


def test_it_closes_after_five_good_seconds_and_not_before():
    issues = book()
    look(issues, 0, True)
    assert look(issues, 10, False) == []
    assert look(issues, 14.9, False) == []
    assert look(issues, 15, False)[0][0] is ChangeKind.CLOSED
    assert issues.open_issues() == []


def test_good_time_counts_from_the_beginning_of_the_good_data():
    issues = book()
    look(issues, 0, True)
    assert look(issues, 10, False, window_s=5.0)[0][0] is ChangeKind.CLOSED


def test_good_data_never_reach_back_before_the_first_bad_second():
    issues = book()
    issues.apply([finding(10, True, first_bad_s=9)], at(10))
    assert look(issues, 12, False, window_s=300.0) == []
    assert look(issues, 14, False, window_s=300.0)[0][0] is ChangeKind.CLOSED


def test_one_bad_look_starts_the_wait_anew():
    issues = book()
    look(issues, 0, True)
    look(issues, 10, False)
    look(issues, 12, True)
    assert look(issues, 16, False) == []
    assert look(issues, 21, False)[0][0] is ChangeKind.CLOSED


def test_not_knowing_neither_closes_nor_counts_against_a_close():
    issues = book()
    look(issues, 0, True)
    for seconds in range(1, 600):
        assert look(issues, seconds, None) == []
    look(issues, 600, False)
    assert look(issues, 602, None) == []
    assert look(issues, 605, False)[0][0] is ChangeKind.CLOSED


def test_after_a_day_without_a_word_it_expires_and_does_not_claim_recovery():
    issues = book()
    look(issues, 0, True)
    later = NOON + FORGET_AFTER + timedelta(seconds=1)
    (change,) = issues.apply([], later)
    assert change.kind is ChangeKind.EXPIRED
    assert change.issue.status is IssueStatus.CLOSED
    assert "nothing has been heard" in change.issue.description


def test_a_good_finding_on_something_healthy_opens_and_closes_nothing():
    assert look(book(), 0, False) == []


def test_it_updates_at_once_when_it_gets_worse_and_seldom_otherwise():
    issues = book()
    issues.apply([finding(0, True, severity=Severity.MEDIUM, observed=0.10)], at(0))
    (worse,) = issues.apply([finding(1, True, severity=Severity.CRITICAL, observed=0.6)], at(1))
    assert worse.kind is ChangeKind.UPDATED
    assert worse.issue.severity is Severity.CRITICAL
    assert issues.apply([finding(2, True, observed=0.30)], at(2)) == []
    (told,) = issues.apply([finding(6, True, observed=0.30)], at(6))
    assert told.issue.evidence.observed == 0.30
    assert told.issue.severity is Severity.CRITICAL, "an issue keeps the worst that it has been"


def test_restored_issues_go_on_and_no_second_one_opens():
    first = book()
    (opened,) = first.apply([finding(0, True)], at(0))
    again = book()
    again.restore([opened.issue], at(60))
    assert look(again, 61, True) == []
    look(again, 70, False)
    assert look(again, 75, False) == [(ChangeKind.CLOSED, opened.issue.id)]


def test_an_issue_that_is_not_open_cannot_be_assigned():
    with pytest.raises(KeyError):
        book().assign("issue-404", "incident-1")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([True, False, None])), max_size=80))
def test_whatever_is_found_there_is_one_open_issue_per_resource_at_most(steps: list[tuple[str, bool | None]]):
    issues = book()
    open_now: dict[str, Issue] = {}
    for second, (name, bad) in enumerate(steps):
        changes: list[IssueChange] = issues.apply([finding(second, bad, resource=f"service:{name}")], at(second))
        for change in changes:
            resource = change.issue.resource
            if change.kind is ChangeKind.OPENED:
                assert resource not in open_now
                assert bad is True
                open_now[resource] = change.issue
            elif change.kind is ChangeKind.CLOSED:
                assert bad is False
                assert open_now.pop(resource).id == change.issue.id
        assert {issue.resource for issue in issues.open_issues()} == set(open_now)
