"""The timeline: what lasts is updated and ended, incidents and flags are on it, restarts forget nothing."""

from datetime import datetime, timedelta

import pytest

from homeostat.bus import LocalBus
from homeostat.core.errors import TooManyError
from homeostat.core.events import HEARD_AT, Event, EventSeverity, EventType
from homeostat.core.models import FlagChange, Incident, IncidentStatus, Severity
from homeostat.observe.correlate import Timeline, timeline
from homeostat.observe.correlate.timeline import UNHEARD_AFTER
from support.memory_state import MemoryState
from support.world_clock import HandClock

HOUR = timedelta(hours=1)


class Desk:
    """A timeline over memory; ``told`` is what was published."""

    def __init__(self, state: MemoryState | None = None, clock: HandClock | None = None) -> None:
        self.state, self.clock, self.bus = state or MemoryState(), clock or HandClock(), LocalBus()
        self.timeline = Timeline(self.state, self.bus, self.clock)

    async def events(self, back: timedelta = HOUR, **more: object) -> list[Event]:
        now = self.clock.now()
        return await self.timeline.events(since=now - back, until=now, **more)  # type: ignore[arg-type]

    def event(self, name: str = "a", type: EventType = EventType.ALERT, **more: object) -> Event:
        fields: dict[str, object] = {
            "id": f"id-{name}-{self.bus.seq}",
            "time": self.clock.now(),
            "type": type,
            "title": name,
            "source": "test",
            "fingerprint": name,
        }
        return Event.model_validate(fields | more)


def an_incident(now: datetime) -> Incident:
    return Incident(
        id="incident-1",
        title="payment fails",
        status=IncidentStatus.OPEN,
        severity=Severity.HIGH,
        issue_ids=(),
        affected_services=("payment",),
        root_cause=None,
        first_bad_at=now - timedelta(days=10),
        opened_at=now - timedelta(days=10),
        updated_at=now,
    )


async def test_a_later_event_with_the_fingerprint_of_one_that_lasts_updates_it() -> None:
    desk = Desk()
    first = await desk.timeline.record(desk.event(services=("a",), traces=("t1",)))
    desk.clock.pass_s(10)
    second = await desk.timeline.record(
        desk.event(services=("b",), severity=EventSeverity.CRITICAL, title="worse now")
    )
    assert (second.id, second.time, second.services, second.traces) == (first.id, first.time, ("a", "b"), ("t1",))
    assert await desk.events() == [second]
    assert (second.title, desk.bus.seq) == ("worse now", 2)


async def test_the_same_again_is_neither_written_nor_told() -> None:
    desk = Desk()
    event = desk.event()
    await desk.timeline.record(event)
    await desk.timeline.record(event)
    assert desk.bus.seq == 1


async def test_what_has_ended_lasts_no_more_and_the_next_one_is_another() -> None:
    desk = Desk()
    first = await desk.timeline.record(desk.event())
    desk.clock.pass_s(60)
    await desk.timeline.end("a", desk.clock.now())
    assert desk.timeline.lasting() == []
    second = await desk.timeline.record(desk.event())
    assert [event.id for event in await desk.events()] == [second.id, first.id]
    assert (await desk.events())[1].ended_at == desk.clock.now()


async def test_after_a_restart_what_lasted_goes_on() -> None:
    desk = Desk()
    first = await desk.timeline.record(desk.event())
    await desk.timeline.record(desk.event("release", EventType.DEPLOYMENT))
    desk.clock.pass_s(3 * 3600)
    again = Desk(desk.state, desk.clock)
    await again.timeline.open()
    assert again.timeline.lasting() == [first]
    assert await again.events() == [first]
    await again.timeline.alert(first.model_copy(update={"ended_at": desk.clock.now()}))
    assert again.timeline.lasting() == []


async def test_an_alert_that_is_not_repeated_for_a_day_is_over() -> None:
    desk = Desk()
    heard = {HEARD_AT: desk.clock.now().timestamp()}
    await desk.timeline.record(desk.event("repeated", data=heard))
    await desk.timeline.record(desk.event("ours"))
    desk.clock.pass_s(UNHEARD_AFTER.total_seconds() + 1)
    await desk.timeline.tidy()
    assert [event.title for event in desk.timeline.lasting()] == ["ours"]


async def test_incidents_and_flag_changes_are_on_it_as_they_stand_now() -> None:
    desk = Desk()
    now = desk.clock.now()
    incident = an_incident(now)
    await desk.state.save_incident(incident)
    change = FlagChange(
        id="change-1", time=now, flag="f", previous_value=False, new_value=True, reason="try", triggered_by="ann"
    )
    await desk.state.record_flag_change(change)
    flag, open_incident = await desk.events()
    assert (flag.type, flag.change, flag.source) == (EventType.DEPLOYMENT, "flag", "ann")
    assert (open_incident.type, open_incident.ended_at) == (EventType.INCIDENT, None)
    closed = incident.model_copy(update={"status": IncidentStatus.CLOSED, "closed_at": now})
    await desk.state.save_incident(closed)
    desk.clock.pass_s(7200)
    assert await desk.events() == []
    assert [one.id for one in await desk.events(types=(EventType.INCIDENT,))] == []


async def test_types_and_limits_are_kept() -> None:
    desk = Desk()
    for number in range(5):
        desk.clock.pass_s(1)
        kind = EventType.ANOMALY if number % 2 else EventType.DEPLOYMENT
        await desk.timeline.record(desk.event(str(number), kind))
    assert [event.title for event in await desk.events(limit=2)] == ["4", "3"]
    assert [event.title for event in await desk.events(types=(EventType.ANOMALY,))] == ["3", "1"]


async def test_an_event_is_found_by_its_id_however_old_without_reading_the_others() -> None:
    desk = Desk()
    told = await desk.timeline.record(desk.event("a", ended_at=desk.clock.now()))
    change = FlagChange(
        id="change-1",
        time=desk.clock.now(),
        flag="f",
        previous_value=False,
        new_value=True,
        reason="try",
        triggered_by="ann",
    )
    await desk.state.record_flag_change(change)
    await desk.state.save_incident(an_incident(desk.clock.now()))
    desk.clock.pass_s(400 * 86_400)
    desk.state.events = None  # type: ignore[assignment, method-assign]
    assert await desk.timeline.event(told.id) == told
    assert [one.title for one in (await desk.timeline.event("change-1"),) if one] == ["f was turned on"]
    assert [one.title for one in (await desk.timeline.event("incident-1"),) if one] == ["payment fails"]
    assert await desk.timeline.event("nobody") is None


async def test_no_flood_ends_what_lasts_or_takes_the_room_of_what_homeostat_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeline, "TOLD_LASTING_MAX", 2)
    monkeypatch.setattr(timeline, "LASTING_MAX", 3)
    desk = Desk()
    first = [await desk.timeline.told(desk.event(name)) for name in "ab"]
    with pytest.raises(TooManyError, match="2 events last already, and 'c' is not taken"):
        await desk.timeline.told(desk.event("c"))
    assert await desk.timeline.told(desk.event("a", title="worse")) != first[0]
    await desk.timeline.told(desk.event("release", EventType.DEPLOYMENT))
    own = await desk.timeline.record(desk.event("own"))
    assert [event.fingerprint for event in desk.timeline.lasting()] == ["a", "b", own.fingerprint]
    await desk.timeline.end("b", desk.clock.now())
    await desk.timeline.end("own", desk.clock.now())
    await desk.timeline.told(desk.event("c"))
    assert [event.fingerprint for event in desk.timeline.lasting()] == ["a", "c"]
