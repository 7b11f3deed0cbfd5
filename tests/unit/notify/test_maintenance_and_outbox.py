"""Maintenance windows and what the outbox makes of them; an Alertmanager that misbehaves."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import anyio
import httpx2
import pytest

from homeostat.core.config import AlertingConfig
from homeostat.core.errors import BadRequestError, ConflictError, NotFoundError, NotifyError
from homeostat.core.events import Event, EventType, MaintenanceWindow
from homeostat.notify import Alertmanager, MaintenanceBook, Outbox
from homeostat.notify.maintenance import KEPT_AFTER, KIND
from homeostat.notify.outbox import JITTER, LEAST_PAUSE_S
from homeostat.runtime import system_random
from homeostat.sim.world import Simulation, run
from support.memory_state import MemoryState
from support.world_clock import HandClock


class Counted:
    """Ids one after the other."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:03}"


def a_book(clock: HandClock, state: MemoryState | None = None) -> MaintenanceBook:
    return MaintenanceBook(state or MemoryState(), clock, Counted(), {"pay-1": "payment"})


async def add(book: MaintenanceBook, clock: HandClock, *services: str, minutes: float = 10) -> MaintenanceWindow:
    now = clock.now()
    return await book.add(
        start=now, end=now + timedelta(minutes=minutes), services=services, reason="disks", created_by="ann"
    )


def an_alert(*services: str, name: str = "NoTraces") -> Event:
    return Event(
        id="e",
        time=HandClock().now(),
        type=EventType.ALERT,
        title="t",
        source="homeostat",
        fingerprint="|".join((name, *services)),
        services=services,
        data={"alertname": name},
    )


async def test_a_window_covers_its_services_and_their_processes_until_it_ends() -> None:
    clock = HandClock()
    book = a_book(clock)
    window = await add(book, clock, "payment")
    assert book.covering("service:payment", clock.now()) == window
    assert book.covering("process:pay-1", clock.now()) == window
    assert book.covering("service:checkout", clock.now()) is None
    clock.pass_s(600)
    assert book.covering("service:payment", clock.now()) is None
    assert book.windows() == []
    assert book.windows(over=True) == [window]


async def test_a_window_without_services_covers_everything() -> None:
    clock = HandClock()
    book = a_book(clock)
    await add(book, clock)
    assert book.covering("flag:anything", clock.now()) is not None
    assert book.muting(an_alert("payment"), clock.now()) is not None


async def test_an_alert_of_several_services_is_muted_when_all_of_them_are_covered() -> None:
    clock = HandClock()
    book = a_book(clock)
    await add(book, clock, "payment")
    assert book.muting(an_alert("payment", "checkout"), clock.now()) is None
    assert book.muting(an_alert(), clock.now()) is None  # of the whole system
    await add(book, clock, "checkout")
    assert book.muting(an_alert("payment", "checkout"), clock.now()) is not None


async def test_windows_are_there_after_a_restart_and_unreadable_ones_stop_nothing() -> None:
    clock, state = HandClock(), MemoryState()
    window = await add(a_book(clock, state), clock, "payment")
    await state.put_document(KIND, "broken", "{")
    again = a_book(clock, state)
    await again.open()
    assert again.windows() == [window]


async def test_ending_a_window_ends_it_now_and_one_to_come_is_deleted() -> None:
    clock, state = HandClock(), MemoryState()
    book = a_book(clock, state)
    window = await add(book, clock, "payment")
    clock.pass_s(60)
    ended = await book.end(window.id)
    assert ended.end == clock.now()
    assert book.windows() == []
    with pytest.raises(ConflictError):
        await book.end(window.id)
    start = clock.now() + timedelta(hours=1)
    coming = await book.add(
        start=start, end=start + timedelta(hours=1), services=(), reason="later", created_by="ann"
    )
    await book.end(coming.id)
    assert coming.id not in await state.documents(KIND)


async def test_what_makes_no_sense_is_refused_with_the_reason() -> None:
    clock = HandClock()
    book = a_book(clock)
    now = clock.now()
    for start, end in ((now, now), (now, now - timedelta(1)), (now - timedelta(2), now - timedelta(1))):
        with pytest.raises(BadRequestError, match="end"):
            await book.add(start=start, end=end, services=(), reason="r", created_by="a")
    with pytest.raises(BadRequestError, match="366 days"):
        await book.add(start=now, end=now + timedelta(days=400), services=(), reason="r", created_by="a")
    with pytest.raises(NotFoundError, match="lists them"):
        await book.end("maintenance-404")
    book.silenced(
        [MaintenanceWindow(id="s", start=now, end=now + timedelta(1), services=(), reason="", created_by="")]
    )
    with pytest.raises(ConflictError, match="Expire it there"):
        await book.end("s")


async def test_windows_long_over_are_dropped() -> None:
    clock, state = HandClock(), MemoryState()
    book = a_book(clock, state)
    await add(book, clock, "payment")
    clock.pass_s(KEPT_AFTER.total_seconds() + 3600)
    window = await add(book, clock, "checkout")
    assert list(await state.documents(KIND)) == [window.id]


class Desk:
    """An outbox over a transport that a test plays."""

    def __init__(self, answer: Callable[[httpx2.Request], httpx2.Response]) -> None:
        self.clock = HandClock()
        self.maintenance = a_book(self.clock)
        self.firing: list[Event] = []
        self.client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        self.outbox = Outbox(
            AlertingConfig(alertmanager_url="http://am/prefix/"),
            Alertmanager("http://am/prefix/", self.client),
            self.maintenance,
            self._now,
            lambda: ("payment",),
            self.clock,
            system_random(1),
        )

    async def _now(self) -> list[Event]:
        return self.firing


async def test_a_refusal_a_page_of_something_else_and_a_flood_are_errors_that_say_so() -> None:
    answers: dict[str, httpx2.Response] = {
        "refused with HTTP 503: come back": httpx2.Response(503, text="come back"),
        "no list of silences": httpx2.Response(200, text="<html>"),
        "4 MiB": httpx2.Response(200, content=b"[" * (5 << 20)),
    }
    for reason, response in answers.items():
        desk = Desk(lambda request, response=response: response)
        with pytest.raises(NotifyError, match=reason):
            await Alertmanager("http://am", desk.client).silences()


async def test_alerts_are_sent_although_silences_cannot_be_read() -> None:
    posted: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            posted.append(request)
            return httpx2.Response(200)
        return httpx2.Response(403, text="no")

    desk = Desk(answer)
    desk.firing = [an_alert("payment")]
    with pytest.raises(NotifyError, match="403"):
        await desk.outbox.look()
    assert [str(request.url) for request in posted] == ["http://am/prefix/api/v2/alerts"]


async def test_the_end_of_an_alert_waits_until_it_is_delivered_and_a_relapse_takes_its_place() -> None:
    broken = False
    bodies: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[])
        if broken:
            return httpx2.Response(500)
        bodies.append(request.content)
        return httpx2.Response(200)

    desk = Desk(answer)
    desk.firing = [an_alert("payment")]
    await desk.outbox.look()
    broken, desk.firing = True, []
    for _ in range(3):
        with pytest.raises(NotifyError):
            await desk.outbox.look()
    assert desk.outbox.status().ends_waiting == 1
    broken, desk.firing = False, [an_alert("payment")]
    await desk.outbox.look()
    assert desk.outbox.status().ends_waiting == 0
    assert bodies[-1].count(b'"labels"') == 1


async def test_an_alert_whose_service_goes_into_maintenance_is_told_as_over() -> None:
    ends: list[datetime] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[])
        ends.extend(datetime.fromisoformat(alert["endsAt"]) for alert in json.loads(request.content))
        return httpx2.Response(200)

    desk = Desk(answer)
    desk.firing = [an_alert("payment")]
    await desk.outbox.look()
    await add(desk.maintenance, desk.clock, "payment")
    await desk.outbox.look()
    assert desk.outbox.status().muted == 1
    assert ends[0] > desk.clock.now()
    assert ends[1] <= desk.clock.now()


def rounds_of(status: int, for_s: float) -> list[float]:
    """When silences were asked for, in virtual seconds, by an outbox that is woken a hundred times a second."""
    asked: list[float] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            asked.append(anyio.current_time())
        return httpx2.Response(status, json=[])

    async def main(_simulation: Simulation) -> None:
        desk = Desk(answer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.outbox.run)
            for _ in range(round(for_s * 100)):
                await anyio.sleep(0.01)
                desk.outbox.notice()
            tasks.cancel_scope.cancel()

    run(main)
    return asked


def pauses(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


def test_however_much_happens_there_is_a_pause_between_two_rounds() -> None:
    waited = pauses(rounds_of(200, 20))
    assert len(waited) >= 18
    assert [pause for pause in waited if not LEAST_PAUSE_S - 1e-6 <= pause < LEAST_PAUSE_S + 0.03] == []


def test_after_each_failure_the_pause_is_longer_up_to_the_interval_and_no_news_shortens_it() -> None:
    waited = pauses(rounds_of(503, 120))
    for pause, least in zip(waited, (1, 2, 4, 8, 15, 15, 15), strict=False):
        assert least - 1e-6 <= pause <= least * (1 + JITTER) + 0.03
    assert len({round(pause, 6) for pause in waited[4:]}) == len(waited[4:]) > 2
