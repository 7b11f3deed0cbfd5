"""Homeostat is killed at every write of its findings, or cannot write for long: nothing is lost or told twice.

The loop as in production, over scripted traffic in virtual time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import anyio
import pytest

from homeostat.bus import LocalBus
from homeostat.core.config import Config
from homeostat.core.errors import StoreError
from homeostat.core.models import (
    FlagChange,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    TimelineEntry,
    TimelineKind,
)
from homeostat.detect import ChangeKind, Detection, DetectionResult, IncidentChange, IssueChange, Signals, issues
from homeostat.heal import Healer
from homeostat.loop import UNRECORDED_MAX, LoopParts, Unrecorded, keep_in_balance
from homeostat.sim.traffic import Disturbance, SimTraffic
from homeostat.sim.world import Simulation, run
from homeostat.story import Story
from support.memory_state import MemoryState
from support.sim_detection import chain


class Frail(MemoryState):
    """Control state whose process dies just before or just after its ``at``-th write, or that has no room."""

    def __init__(self, at: int = -1, *, after: bool = False) -> None:
        super().__init__()
        self.at, self.after, self.full = at, after, False
        self.count = 0
        self.died = anyio.Event()

    async def save_issue(self, issue: Issue) -> None:
        await self._before()
        await super().save_issue(issue)
        await self._behind()

    async def save_incident(self, incident: Incident) -> None:
        await self._before()
        await super().save_incident(incident)
        await self._behind()

    async def add_timeline(self, entry: TimelineEntry) -> None:
        await self._before()
        await super().add_timeline(entry)
        await self._behind()

    async def record(
        self,
        *,
        issues: Sequence[Issue] = (),
        incidents: Sequence[Incident] = (),
        entries: Sequence[TimelineEntry] = (),
    ) -> None:
        await self._before()
        await super().record(issues=issues, incidents=incidents, entries=entries)
        await self._behind()

    async def _before(self) -> None:
        if self.full:
            raise StoreError("no room left")
        if self.count == self.at and not self.after:
            await self._die()

    async def _behind(self) -> None:
        self.count += 1
        if self.count - 1 == self.at and self.after:
            await self._die()

    async def _die(self) -> None:
        self.at = -1
        self.died.set()
        await anyio.sleep_forever()


class MuteFlags:
    """The flag service while its store cannot be read."""

    async def changes(self, since: datetime) -> list[FlagChange]:
        raise StoreError("no room left")


class Post:
    """Homeostat watching two services, one of which falls ill; ``live`` is one process of it."""

    def __init__(self, sim: Simulation, state: Frail) -> None:
        self.sim, self.state = sim, state
        self.traffic = SimTraffic(sim.clock, chain(16.0, length=2), [], seed=sim.seed)

    def fall_ill(self) -> None:
        self.traffic.disturb(Disturbance("mid", start_s=self.sim.clock.monotonic(), error_rate=0.4))

    def fall_silent(self) -> None:
        for name in ("front", "mid"):
            self.traffic.calm(name)
            self.traffic.disturb(Disturbance(name, start_s=self.sim.clock.monotonic(), silent=True))

    async def live(self) -> None:
        sim, config = self.sim, Config.model_validate({"heal": {"mode": "auto"}})
        bus = LocalBus()
        healer = Healer(
            config=config,
            actions=[],
            signals=Signals(self.traffic, sim.clock, []),
            store=self.state,
            bus=bus,
            clock=sim.clock,
            ids=sim.ids,
        )
        parts = LoopParts(
            clock=sim.clock,
            state=self.state,
            sensors=[],
            detection=Detection(config.detect, self.traffic, sim.ids, flags=MuteFlags()),
            healer=healer,
            story=Story(self.state, bus, sim.clock, sim.ids),
            interval=config.detect.interval,
        )
        await keep_in_balance(parts)

    def judge(self) -> None:
        """Each open issue is held by an open incident, and nothing was told twice."""
        for issue in self.state.issues_by_id.values():
            if issue.status is IssueStatus.OPEN:
                held_by = self.state.incidents_by_id.get(issue.incident_id or "")
                assert held_by is not None, "an orphan: nobody would ever heal it"
                assert held_by.status is not IncidentStatus.CLOSED
        told = [(entry.kind, entry.incident_id, entry.title, entry.time) for entry in self.state.entries]
        assert len(told) == len(set(told)), told


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
def test_killed_at_each_write_no_issue_is_without_its_incident(after: bool) -> None:
    async def main(sim: Simulation, at: int) -> bool:
        post = Post(sim, Frail(at, after=after))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(60)
            post.fall_ill()
            with anyio.move_on_after(30):
                await post.state.died.wait()
            tasks.cancel_scope.cancel()
        post.judge()
        post.state.at = -1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(20)
            post.judge()
            assert any(item.status is IssueStatus.OPEN for item in post.state.issues_by_id.values())
            post.traffic.calm("mid")
            await anyio.sleep(60)
            tasks.cancel_scope.cancel()
        assert all(item.status is IssueStatus.CLOSED for item in post.state.issues_by_id.values())
        assert all(item.status is IncidentStatus.CLOSED for item in post.state.incidents_by_id.values())
        return post.state.died.is_set()

    points = 0
    while run(partial(main, at=points), seed=7):
        points += 1
    assert points >= 2


def test_an_orphan_of_an_older_version_gets_an_incident_when_it_is_still_bad() -> None:
    async def main(sim: Simulation) -> None:
        post = Post(sim, Frail())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(60)
            post.fall_ill()
            await anyio.sleep(30)
            tasks.cancel_scope.cancel()
        lost = dict(post.state.incidents_by_id)
        assert lost
        post.state.incidents_by_id.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(20)
            post.judge()
            assert post.state.incidents_by_id
            assert not lost.keys() & post.state.incidents_by_id.keys()
            tasks.cancel_scope.cancel()

    run(main)


def test_an_orphan_that_is_well_by_now_closes_without_an_incident() -> None:
    async def main(sim: Simulation) -> None:
        post = Post(sim, Frail())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(60)
            post.fall_ill()
            await anyio.sleep(30)
            tasks.cancel_scope.cancel()
        post.state.incidents_by_id.clear()
        post.traffic.calm("mid")
        await anyio.sleep(30)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(30)
            tasks.cancel_scope.cancel()
        assert post.state.incidents_by_id == {}
        assert all(item.status is IssueStatus.CLOSED for item in post.state.issues_by_id.values())

    run(main)


def test_ten_minutes_without_room_loses_no_opening_and_tells_it_once() -> None:
    async def main(sim: Simulation) -> None:
        post = Post(sim, Frail())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(60)
            post.state.full = True
            ill_at = sim.clock.now()
            post.fall_ill()
            await anyio.sleep(timedelta(minutes=10).total_seconds())
            assert post.state.issues_by_id == {}
            post.state.full = False
            await anyio.sleep(5)
            post.judge()
            opened = [item for item in post.state.issues_by_id.values() if item.status is IssueStatus.OPEN]
            assert opened
            assert all(item.opened_at - ill_at < timedelta(minutes=1) for item in opened)
            detected = [entry for entry in post.state.entries if entry.kind is TimelineKind.DETECTED]
            assert len(detected) == len(post.state.issues_by_id)
            tasks.cancel_scope.cancel()

    run(main)


def test_what_cannot_be_recorded_is_bounded_and_what_is_open_or_on_record_is_kept() -> None:
    async def main(sim: Simulation) -> tuple[Issue, Incident]:
        post = Post(sim, Frail())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(60)
            post.fall_ill()
            await anyio.sleep(30)
            tasks.cancel_scope.cancel()
        return next(iter(post.state.issues_by_id.values())), next(iter(post.state.incidents_by_id.values()))

    issue, incident = run(main)
    closed = {"status": IssueStatus.CLOSED}
    found = Unrecorded()
    found.add(DetectionResult())
    assert not found
    found.add(DetectionResult((IssueChange(ChangeKind.CLOSED, issue.model_copy(update={"id": "known", **closed})),)))
    for number in range(UNRECORDED_MAX + 50):
        one = issue.model_copy(update={"id": f"issue-{number}"})
        held = incident.model_copy(update={"id": f"incident-{number}"})
        found.add(
            DetectionResult(
                (IssueChange(ChangeKind.OPENED, one),), (IncidentChange(ChangeKind.OPENED, held, (one,)),)
            )
        )
        if number:
            over = held.model_copy(update={"status": IncidentStatus.CLOSED})
            one = one.model_copy(update=closed)
            found.add(
                DetectionResult(
                    (IssueChange(ChangeKind.CLOSED, one),), (IncidentChange(ChangeKind.CLOSED, over, (one,)),)
                )
            )
    assert len(found.issues) <= UNRECORDED_MAX
    assert len(found.incidents) <= UNRECORDED_MAX
    assert len(found.entries) == len(found.issues) + len(found.incidents) - 1
    assert {"known", "issue-0", f"issue-{UNRECORDED_MAX + 49}"} <= found.issues.keys()
    assert "incident-0" in found.incidents


def test_after_long_silence_the_incident_closes_without_claiming_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issues, "FORGET_AFTER", timedelta(minutes=5))

    async def main(sim: Simulation) -> None:
        post = Post(sim, Frail())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post.live)
            await anyio.sleep(60)
            post.fall_ill()
            await anyio.sleep(30)
            post.fall_silent()
            await anyio.sleep(timedelta(minutes=20).total_seconds())
            tasks.cancel_scope.cancel()
        (incident,) = post.state.incidents_by_id.values()
        assert incident.status is IncidentStatus.CLOSED
        assert incident.expired
        assert incident.healed is False
        (line,) = [entry for entry in post.state.entries if entry.kind is TimelineKind.CLOSED]
        assert line.title == "Nothing has been heard for a day"

    run(main)
