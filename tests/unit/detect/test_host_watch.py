"""A starved machine is an issue while services on it are slow, and only then."""

from datetime import UTC, datetime, timedelta

from homeostat.core.models import IssueType, SensorEvent
from homeostat.core.resources import HOST
from homeostat.detect.host import HostWatch

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def told(*, bad: bool, type_: IssueType = IssueType.HOST_STARVED) -> SensorEvent:
    return SensorEvent(
        resource=HOST,
        type=type_,
        bad=bad,
        time=NOW,
        detail="in 97% of the last 10 s a task waited for a processor; the load average is 9.1 on 2 processors",
        metrics={"cpu_pressure": 0.97, "load_average": 9.1, "processors": 2.0, "starved_from": 0.6},
    )


def test_before_the_sensor_has_spoken_nothing_is_said() -> None:
    watch = HostWatch()
    watch.sense(told(bad=True, type_=IssueType.PROCESS_CRASH))
    assert watch.look({"web"}, NOW) == []
    assert watch.starved is None


def test_starved_with_slow_services_is_bad_and_the_evidence_says_how_much() -> None:
    watch = HostWatch()
    watch.sense(told(bad=True))
    (found,) = watch.look({"web", "db", "mail", "auth"}, NOW)
    assert found.bad is True
    assert (found.evidence.observed, found.evidence.threshold) == (0.97, 0.6)
    assert found.evidence.detail == (
        "In 97% of the last 10 s a task waited for a processor; the load average is 9.1 on 2 processors. "
        "Slow here: auth, db, mail and 1 more."
    )
    assert watch.starved is not None


def test_starved_with_nobody_slow_is_well() -> None:
    watch = HostWatch()
    watch.sense(told(bad=True))
    (found,) = watch.look(set(), NOW)
    assert found.bad is False


def test_what_a_silent_sensor_said_last_does_not_hold_for_ever() -> None:
    watch = HostWatch()
    watch.sense(told(bad=True))
    (found,) = watch.look({"web"}, NOW + timedelta(seconds=30))
    assert found.bad is True
    (found,) = watch.look({"web"}, NOW + timedelta(seconds=31))
    assert watch.starved is None
    assert (found.bad, found.evidence.observed) == (False, None)
    assert found.evidence.detail == (
        "Nothing has been heard of the machine's processor time for 30 s; whether it is starved is not known."
    )


def test_slow_services_on_a_machine_that_is_not_starved_are_not_its_doing() -> None:
    watch = HostWatch()
    watch.sense(told(bad=True))
    watch.sense(told(bad=False))
    (found,) = watch.look({"web"}, NOW)
    assert found.bad is False
    assert watch.starved is None


def test_where_only_the_load_is_known_the_evidence_is_the_load() -> None:
    watch = HostWatch()
    figures = {"load_average": 9.1, "processors": 2.0, "starved_from": 4.0}
    watch.sense(told(bad=True).model_copy(update={"metrics": figures}))
    (found,) = watch.look({"web"}, NOW)
    evidence = found.evidence
    assert (evidence.signal, evidence.observed, evidence.threshold, evidence.unit) == ("load_average", 9.1, 4.0, "")
