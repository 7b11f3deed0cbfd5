"""Did it help? Measures again the signal that opened the issue, through the reader that detection uses.

Those who depend on what was acted upon are looked at as well (``core.ports.Dependents``); ``weigh`` puts both
together.

Nothing that began before the act has settled is looked at. A verdict comes as soon as it can be given: good as soon
as the signal is surely good, bad only after some patience, because a remedy may take effect gradually.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio

from homeostat.core.config import DetectConfig
from homeostat.core.dependents import Act, Dependent
from homeostat.core.models import ActionSpec, Issue, IssueType, Signal, Verdict
from homeostat.core.ports import Clock, Dependents, SignalReader
from homeostat.heal import judge
from homeostat.heal.judge import Judgement, Opened, Word
from homeostat.heal.weigh import Proposal, in_words, weigh

POLL_S = 0.25
"""How often the signal is read. Telemetry comes in whole seconds; this adds little to its delay."""

WINDOWS_S = (4, 8, 16)
"""Also these newest seconds are judged by themselves: the first ones after an act may still hold old trouble."""

BAD_PATIENCE_S = 10.0
"""A remedy is not called useless before this, unless its whole time is shorter."""

DEAD_PATIENCE_S = 3.0
"""A process that is not up this long after its restart did not come up."""

UP_ALONE_S = 4.0
"""How long a restarted process without telemetry is watched before being up is enough."""

_UNITS = {
    "up": "bool",
    "error_rate": "ratio",
    "self_error_rate": "ratio",
    "latency_p95_ms": "ms",
    "cpu_pressure": "ratio",
}


ClosedAt = Callable[[], datetime | None]


@dataclass(frozen=True, slots=True)
class Watched:
    """The signal of an issue: what, where, since when, and how it was when the issue opened."""

    resource: str
    signal: str
    operation: str | None
    since: datetime
    opened: Opened


@dataclass(frozen=True, slots=True)
class _Time:
    """How long a verdict may take, and until when a remedy may still take effect."""

    deadline: datetime
    patience: datetime


class Verifier:
    """Judges by measuring. ``services`` maps the resource of a process to that of its telemetry."""

    def __init__(
        self,
        signals: SignalReader,
        clock: Clock,
        detect: DetectConfig,
        services: Mapping[str, str] | None = None,
        dependents: Dependents | None = None,
    ) -> None:
        self._signals = signals
        self._dependents = dependents
        self._clock = clock
        self._detect = detect
        self._services = dict(services or {})
        self._held_back: set[str] = set()

    async def look(self, issue: Issue, since: datetime) -> Judgement:
        """What the issue's signal says of the time since ``since``, now and once."""
        watched = _watched(issue, since)
        if issue.type is IssueType.PROCESS_CRASH:
            return _up(await self._read(watched))
        return (await self._judge(watched))[0]

    async def lingers(self, issue: Issue, since: datetime) -> Judgement | None:
        """Why the issue cannot close: its signal since ``since``, where that is on the wrong side of what closes it.

        None when it is good, when there is too little data to say, and for a crash, which is either up or not.
        """
        if issue.type is IssueType.PROCESS_CRASH:
            return None
        watched = _watched(issue, since)
        signal = await self._read(watched)
        on_its_way = judge.leans_good(signal, watched.opened, self._detect)
        return self._word(signal, watched) if on_its_way is False else None

    async def verdict(
        self,
        issue: Issue,
        spec: ActionSpec,
        acted_at: datetime,
        closed_at: ClosedAt = lambda: None,
        *,
        resource: str | None = None,
        begun_at: datetime | None = None,
    ) -> Verdict:
        """Measure until it is clear whether the act helped, at most ``spec.verify_within_s`` long.

        ``closed_at`` says when detection closed the issue. It does so after ``detect.close_after`` of good signals:
        when all of that time lies behind the act, this is the verdict. ``resource`` was acted upon, from ``begun_at``
        on (the issue's own and ``acted_at`` where they are not given): those who depend on it are looked at too.
        """
        since = acted_at + timedelta(seconds=spec.settle_s)
        deadline = acted_at + timedelta(seconds=spec.verify_within_s)
        time = _Time(deadline, patience=min(since + timedelta(seconds=BAD_PATIENCE_S), deadline))
        watched = _watched(issue, since)
        act = Act(
            resource=resource or issue.resource,
            issue_resource=issue.resource,
            issue_type=issue.type,
            first_bad_at=issue.first_bad_at,
            begun_at=min(begun_at or acted_at, acted_at),
            since=since,
        )
        try:
            while True:
                over = self.over(closed_at(), acted_at)
                weighed = await self._weighed(issue, watched, act, time, over=over)
                if weighed is not None:
                    return self._verdict(issue, weighed)
                await anyio.sleep(POLL_S)
        finally:
            self._held_back.discard(issue.id)

    async def _weighed(self, issue: Issue, watched: Watched, act: Act, time: _Time, *, over: bool) -> Proposal | None:
        """Everything measured once; None while it is too early for a verdict."""
        now = self._clock.now()
        if issue.type is IssueType.PROCESS_CRASH:
            proposal = await self._of_crash(watched, now, time)
        else:
            proposal = await self._of_telemetry(watched, now, time, over=over)
        found: Sequence[Dependent] = ()
        if self._dependents is not None and (proposal.settled or now >= time.patience):
            found = await self._dependents.look(act)
        weighed = weigh(proposal, found, patient=now < time.patience, time_left=now < time.deadline)
        (self._held_back.add if weighed is None and proposal.helped else self._held_back.discard)(issue.id)
        return weighed

    def held_back(self, issue_id: str) -> bool:
        """Is its own signal good again, and the verdict still open because of those who depend on it?"""
        return issue_id in self._held_back

    def over(self, closed_at: datetime | None, begun_at: datetime) -> bool:
        """Does all of the good time that closed the issue lie behind this moment?"""
        return closed_at is not None and closed_at >= begun_at + self._detect.close_after

    # -- telemetry ------------------------------------------------------------------------------------------

    async def _of_telemetry(self, watched: Watched, now: datetime, time: _Time, *, over: bool) -> Proposal:
        """What the signal says. ``over``: it has been good for so long since the act that its issue has closed."""
        judgement, newest = await self._judge(watched)
        if judgement.word is Word.GOOD:
            return Proposal(True, judgement)
        if over:
            good_s = self._detect.close_after.total_seconds()
            return Proposal(True, judgement, f"its signal has been good for {good_s:.0f} s")
        if judgement.word is Word.BAD and now >= time.patience:
            return Proposal(False, judgement)
        return self._at_the_end(watched, judgement, newest) if now >= time.deadline else _too_early(judgement)

    def _at_the_end(self, watched: Watched, judgement: Judgement, newest: Signal) -> Proposal:
        leaning = judge.leans_good(newest, watched.opened, self._detect)
        if leaning is not None:  # clearly above what closes the issue, or below it: both are an answer
            return Proposal(leaning, judgement)
        return Proposal(None if judgement.word is Word.UNKNOWN else False, judgement)

    async def _judge(self, watched: Watched) -> tuple[Judgement, Signal]:
        """Good when any of the windows is; bad only when the newest seconds are no better than all of them."""
        whole = await self._read(watched)
        judgements = [self._word(whole, watched)]
        signals = [whole]
        now = self._clock.now()
        for seconds in WINDOWS_S:
            start = now - timedelta(seconds=seconds)
            if start <= watched.since:
                break
            signals.append(await self._read(watched, start))
            judgements.append(self._word(signals[-1], watched))
        pairs = list(zip(judgements, signals, strict=True))
        for judgement, signal in pairs:
            if judgement.word is Word.GOOD:
                return judgement, signal
        for judgement, signal in pairs[1:]:  # bad as a whole, but getting better: not bad yet
            if _halved(judgement, judgements[0]):
                return replace(judgement, word=Word.UNKNOWN), signal
        return pairs[0]

    def _word(self, signal: Signal, watched: Watched) -> Judgement:
        if watched.signal == "cpu_pressure":
            return Judgement(
                Word.UNKNOWN, signal.value, signal.sample_size, "no remedy is judged by a machine's load"
            )
        if watched.signal == "latency_p95_ms":
            return judge.latency(signal, watched.opened, self._detect)
        return judge.error_rate(signal, watched.opened, self._detect)

    async def _read(self, watched: Watched, since: datetime | None = None) -> Signal:
        return await self._signals.read(
            watched.resource, watched.signal, since=since or watched.since, operation=watched.operation
        )

    # -- a process ------------------------------------------------------------------------------------------

    async def _of_crash(self, watched: Watched, now: datetime, time: _Time) -> Proposal:
        """Up, and what it answers is good. Without telemetry being up is enough, and the verdict says so."""
        up = _up(await self._read(watched))
        if up.word is not Word.GOOD:
            dead = now >= min(time.deadline, watched.since + timedelta(seconds=DEAD_PATIENCE_S))
            return Proposal(False if up.word is Word.BAD else None, up) if dead else _too_early(up)
        served = await self._served(self._telemetry_of(watched))
        if served.word is Word.GOOD:
            return Proposal(True, up, f"it runs, and {served.reason}")
        if not served.samples and now >= watched.since + timedelta(seconds=UP_ALONE_S):
            return Proposal(True, up, "it runs; no request has come to it yet to judge it by")
        if now >= time.deadline:
            return Proposal(served.word is not Word.BAD, up, f"it runs, but {served.reason}")
        return _too_early(up)

    def _telemetry_of(self, watched: Watched) -> Watched | None:
        service = self._services.get(watched.resource)
        if service is None:
            return None
        # Its own errors: what it hands on from a callee that is down as well is not the restart's failure.
        return Watched(service, "self_error_rate", None, watched.since, Opened(1.0))

    async def _served(self, serving: Watched | None) -> Judgement:
        if serving is None:
            return Judgement(Word.UNKNOWN, None, 0, "it sends no telemetry")
        return (await self._judge(serving))[0]

    def _verdict(self, issue: Issue, weighed: Proposal) -> Verdict:
        signal = _signal_of(issue)
        return Verdict(
            helped=weighed.helped,
            signal=signal,
            before=issue.evidence.observed,
            after=weighed.judgement.value,
            unit=_UNITS[signal],
            sample_size=weighed.judgement.samples,
            reason=in_words(weighed),
            judged_at=self._clock.now(),
            harmed=tuple(one.service for one in weighed.harmed),
        )


def _too_early(judgement: Judgement) -> Proposal:
    return Proposal(None, judgement, settled=False)


def _signal_of(issue: Issue) -> str:
    return {
        IssueType.PROCESS_CRASH: "up",
        IssueType.HIGH_ERROR_RATE: "error_rate",
        IssueType.HIGH_LATENCY: "latency_p95_ms",
        IssueType.HOST_STARVED: "cpu_pressure",
    }[issue.type]


def _watched(issue: Issue, since: datetime) -> Watched:
    evidence = issue.evidence
    opened = Opened(evidence.observed, evidence.baseline)
    return Watched(issue.resource, _signal_of(issue), evidence.operation, since, opened)


def _up(signal: Signal) -> Judgement:
    if signal.value is None:
        return Judgement(Word.UNKNOWN, None, 0, "nobody can say whether it runs")
    if signal.value > 0:
        return Judgement(Word.GOOD, signal.value, 1, "it runs")
    return Judgement(Word.BAD, signal.value, 1, "it does not run")


def _halved(newest: Judgement, whole: Judgement) -> bool:
    return bool(newest.samples) and newest.value is not None and newest.value < (whole.value or 0.0) / 2
