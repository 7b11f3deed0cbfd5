"""The cause is where the errors or the time began, unless a crash or a change of a flag explains more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.core.models import Evidence, FlagChange, Issue, IssueType, SensorEvent, Severity
from homeostat.core.red import Edge, RedPoint
from homeostat.core.resources import HOST
from homeostat.detect.root_cause import Scene, UsualOwn, error_blame, explain, flag_change_before, latency_blame
from homeostat.detect.topology import Topology

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def edges(errors: int = 0) -> list[Edge]:
    return [Edge("front", "mid", 100, errors, 0.0), Edge("mid", "back", 100, errors, 0.0)]


def point(service: str, *, errors: int = 0, handed: int = 0, total_ms: float = 1_000.0, below_ms: float = 0.0):
    return RedPoint(
        service=service,
        operation=None,
        start_s=0,
        end_s=5,
        requests=100,
        errors=errors,
        duration_sum_ms=total_ms,
        downstream_requests=100,
        downstream_errors=handed,
        downstream_duration_sum_ms=below_ms,
    )


def scene(*points: RedPoint, calls: list[Edge] | None = None, flags: tuple[FlagChange, ...] = ()) -> Scene:
    made = edges() if calls is None else calls
    return Scene(
        points={one.service: one for one in points},
        edges=made,
        topology=Topology(edges()),
        usual_mean_ms={"front": 30.0, "mid": 20.0, "back": 10.0},
        flag_changes=flags,
        process_services={},
    )


def issue(service: str, type_: IssueType = IssueType.HIGH_ERROR_RATE, kind: str = "service") -> Issue:
    return Issue(
        id=f"issue-{service}",
        type=type_,
        severity=Severity.HIGH,
        resource=f"{kind}:{service}",
        fingerprint=f"{type_}|{kind}:{service}",
        title=service,
        description="",
        evidence=Evidence(
            signal="error_rate", observed=0.5, threshold=0.05, unit="ratio", detail="killed by signal 9"
        ),
        first_bad_at=NOON,
        opened_at=NOON,
        updated_at=NOON,
    )


def change(seconds: float, flag: str = "errorInjectionEnabled") -> FlagChange:
    return FlagChange(
        id=f"c{seconds}",
        time=NOON + timedelta(seconds=seconds),
        flag=flag,
        previous_value=False,
        new_value=True,
        reason="practice",
        triggered_by="ada",
    )


def test_errors_are_blamed_on_the_service_they_began_in():
    known = scene(point("front", errors=40, handed=38), point("mid", errors=38, handed=38), point("back", errors=38))
    cause = explain([issue("front"), issue("mid")], replace(known, edges=edges(38)))
    assert cause is not None
    assert cause.resource == "service:back", "it is below the affected ones, without an issue of its own yet"
    assert cause.self_error_share == pytest.approx(0.95)
    assert cause.confidence == 0.95
    assert cause.evidence == ("95% (38 errors) began in back.", "5% (2 errors) began in front.")


def test_calls_that_fail_without_their_callee_knowing_are_blamed_on_the_callee():
    known = scene(point("front", errors=50, handed=50), point("mid", errors=50, handed=50))
    blame = error_blame(replace(known, edges=[Edge("front", "mid", 100, 50, 0.0)]), {"front", "mid", "back"})
    assert blame.top == ("back", 1.0)


def test_errors_of_a_callee_that_only_serves_others_do_not_excuse_a_caller():
    """``back`` fails 10 calls of ``mid``; the other 30 errors of ``mid`` are its own."""
    known = scene(point("mid", errors=40, handed=10), point("back", errors=10), calls=edges(10))
    assert error_blame(known, {"mid", "back"}).shares == pytest.approx({"mid": 0.75, "back": 0.25})


def test_added_time_is_blamed_on_where_it_was_spent_not_on_who_waited():
    known = scene(
        point("front", total_ms=3_000 + 50_000, below_ms=2_000 + 50_000),
        point("mid", total_ms=2_000 + 50_000, below_ms=1_000),
        point("back", total_ms=1_000),
        calls=[Edge("front", "mid", 100, 0, 52_000.0), Edge("mid", "back", 100, 0, 1_000.0)],
    )
    name, share = latency_blame(known, {"front", "mid", "back"}).top or ("", 0.0)
    assert name == "mid"
    assert share > 0.95
    cause = explain([issue("front", IssueType.HIGH_LATENCY), issue("mid", IssueType.HIGH_LATENCY)], known)
    assert cause is not None
    assert cause.resource == "service:mid"
    assert cause.self_time_share == pytest.approx(share, abs=1e-3)


def test_a_frozen_service_is_blamed_although_its_own_spans_are_short():
    """Requests wait at its door while it is stopped: only its caller's client spans know of that."""
    known = scene(
        point("mid", total_ms=2_000 + 50_000, below_ms=1_000 + 50_000),
        point("back", total_ms=1_000),
        calls=[Edge("mid", "back", 100, 0, 1_000.0)],
    )
    name, share = latency_blame(known, {"mid", "back"}).top or ("", 0.0)
    assert name == "back"
    assert share > 0.9


def test_a_crash_is_the_cause_whatever_else_is_seen():
    known = scene(point("front", errors=50), flags=(change(-1),))
    cause = explain([issue("front"), issue("back", IssueType.PROCESS_CRASH, "process")], known)
    assert cause is not None
    assert cause.resource == "process:back"
    assert cause.confidence > 0.9
    assert cause.evidence == ("killed by signal 9",)


@pytest.mark.parametrize(("gap_s", "confidence"), [(0.0, 0.95), (2.0, 0.95), (17.5, 0.72), (30.0, 0.5)])
def test_a_flag_change_just_before_is_the_cause_and_less_surely_the_earlier_it_was(gap_s: float, confidence: float):
    known = scene(point("front", errors=10), point("mid", errors=10), flags=(change(-gap_s),))
    cause = explain([issue("front"), issue("mid")], known)
    assert cause is not None
    assert cause.resource == "flag:errorInjectionEnabled"
    assert cause.confidence == pytest.approx(confidence, abs=0.01)
    assert "by ada (practice)" in cause.evidence[0]
    assert "errors) began in" in cause.evidence[1]


def test_a_service_that_stands_out_is_blamed_rather_than_a_change_of_a_while_ago():
    failing = scene(point("back", errors=40), flags=(change(-16.0),))
    cause = explain([issue("back")], failing)
    assert cause is not None
    assert cause.resource == "service:back"


def test_a_change_within_the_first_bad_second_fits_and_one_after_it_does_not():
    assert flag_change_before(NOON, [change(0.9)]) is not None
    assert flag_change_before(NOON, [change(1.1)]) is None
    assert flag_change_before(NOON, [change(-31)]) is None


def test_of_several_changes_the_latest_before_is_named():
    chosen = flag_change_before(NOON, [change(-20, "old"), change(-3, "near"), change(5, "later")])
    assert chosen is not None
    assert chosen.flag == "near"


def test_with_nothing_measured_the_deepest_affected_service_is_named_without_much_confidence():
    cause = explain([issue("front"), issue("mid")], scene())
    assert cause is not None
    assert cause.resource == "service:mid"
    assert cause.confidence <= 0.5


def test_nothing_has_no_cause():
    assert explain([], scene()) is None


# -- slowness where everything is slow ----------------------------------------------------------------------

CHAIN = ("shop", "cart", "checkout", "payment", "orders")
FROZEN_MS, COMMON_MS = 450.0, 60.0
PSI = "in 97% of the last 10 s a task waited for a processor"


def starved() -> SensorEvent:
    return SensorEvent(resource=HOST, type=IssueType.HOST_STARVED, bad=True, time=NOON, detail=PSI)


def crowd(*, frozen: str | None = None, common_ms: float = 0.0, host: SensorEvent | None = None) -> Scene:
    """Each of the chain calls the next, 100 times. Usually each takes 5 ms of its own and 1 ms at its door.

    ``common_ms`` is added to everybody's own time. A process that is frozen for some of the time keeps its callers
    waiting at its door, and hears late of the answers to its own calls: it admits the latter only.
    """
    points: list[RedPoint] = []
    calls: list[Edge] = []
    usual: dict[str, float] = {}
    below_ms = usual_below_ms = 0.0  # of one call to the next, as the callee tells of it
    for service, callee in reversed(list(zip(CHAIN, (*CHAIN[1:], None), strict=True))):
        door_ms = usual_door_ms = 0.0
        if callee is not None:
            late = (frozen == callee) + (frozen == service)
            usual_door_ms, door_ms = 1.0, 1.0 + common_ms / 4 + late * FROZEN_MS
            calls.append(Edge(service, callee, 100, 0, 100 * below_ms))
        usual_ms = 5.0 + usual_door_ms + usual_below_ms
        took_ms = 5.0 + common_ms + door_ms + below_ms
        points.append(point(service, total_ms=100 * took_ms, below_ms=100 * (door_ms + below_ms)))
        if callee is None:
            points[-1] = replace(points[-1], downstream_requests=0)
        usual[service] = usual_ms
        below_ms, usual_below_ms = took_ms, usual_ms
    return Scene(
        points={one.service: one for one in points},
        edges=calls,
        topology=Topology(calls),
        usual_mean_ms=usual,
        flag_changes=(),
        process_services={f"p-{service}": service for service in CHAIN},
        usual={service: UsualOwn(5.0, 1.0) for service in CHAIN},
        host=host,
    )


def lasting(made: Scene, newest: Scene | None = None) -> Scene:
    """A scene whose newest seconds are like all of it, or like another."""
    return replace(made, newest=made if newest is None else newest)


SLOW = [issue(service, IssueType.HIGH_LATENCY) for service in CHAIN]


@pytest.mark.parametrize("frozen", CHAIN[1:])  # nobody who is watched calls the first one
@pytest.mark.parametrize("common_ms", [0.0, COMMON_MS])
@pytest.mark.parametrize("host", [None, starved()])
def test_a_frozen_service_stands_out_also_where_all_are_slow(
    frozen: str, common_ms: float, host: SensorEvent | None
) -> None:
    cause = explain(SLOW, lasting(crowd(frozen=frozen, common_ms=common_ms, host=host)))
    assert cause is not None
    assert cause.resource == f"service:{frozen}"
    assert cause.confidence >= 0.6
    assert any(PSI in line for line in cause.evidence) == (host is not None)


def test_on_a_starved_machine_nobody_is_surely_the_cause_at_once() -> None:
    cause = explain(SLOW, crowd(frozen="checkout", common_ms=COMMON_MS, host=starved()))
    assert cause is not None
    assert cause.resource == "service:checkout"
    assert cause.confidence < 0.5


def test_who_got_no_processor_for_a_moment_is_not_the_cause_for_it() -> None:
    moment = crowd(frozen="checkout", common_ms=COMMON_MS, host=starved())
    cause = explain(SLOW, lasting(moment, newest=crowd(common_ms=COMMON_MS, host=starved())))
    assert cause is not None
    assert cause.resource == HOST
    other = crowd(frozen="orders", common_ms=COMMON_MS, host=starved())
    cause = explain(SLOW, lasting(moment, newest=other))
    assert cause is not None
    assert cause.resource == HOST
    assert "was spent in checkout, but not in the last seconds as well" in cause.reason
    assert any("began in checkout" in line for line in cause.evidence)


def test_what_a_frozen_service_hears_late_is_not_blamed_on_whom_it_calls() -> None:
    blame = latency_blame(crowd(frozen="checkout"), set(CHAIN))
    assert blame.shares.get("payment", 0.0) < 0.05


def test_where_all_are_slow_alike_on_a_starved_machine_the_machine_is_the_cause() -> None:
    cause = explain(SLOW, crowd(common_ms=COMMON_MS, host=starved()))
    assert cause is not None
    assert (cause.resource, cause.self_time_share) == (HOST, None)
    assert cause.reason.endswith("no service is slower than that explains.")
    assert cause.confidence < 0.5
    assert PSI in cause.evidence[0].lower() or PSI[1:] in cause.evidence[0]


def test_where_all_are_slow_alike_nobody_is_surely_the_cause() -> None:
    cause = explain(SLOW, crowd(common_ms=COMMON_MS))
    assert cause is not None
    assert cause.confidence < 0.5


def test_services_of_other_machines_are_not_explained_by_this_one() -> None:
    elsewhere = replace(crowd(common_ms=COMMON_MS, host=starved()), process_services={})
    cause = explain(SLOW, elsewhere)
    assert cause is not None
    assert cause.resource != HOST


def test_the_machines_own_issue_names_the_machine() -> None:
    told = issue("local", IssueType.HOST_STARVED, kind="host")
    cause = explain([told], crowd(host=starved()))
    assert cause is not None
    assert (cause.resource, cause.confidence) == (HOST, 0.9)
