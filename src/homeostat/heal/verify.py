"""Did it help? Measures again the signal that opened the issue, through the reader that detection uses.

Nothing that began before the act has settled is looked at. A verdict comes as soon as it can be given: good as soon
as the signal is surely good, bad only after some patience, because a remedy may take effect gradually.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio

from homeostat.core.config import DetectConfig
from homeostat.core.models import ActionSpec, Issue, IssueType, Signal, Verdict
from homeostat.core.ports import Clock, SignalReader
from homeostat.heal import judge
from homeostat.heal.judge import Judgement, Opened, Word

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

_UNITS = {"up": "bool", "error_rate": "ratio", "self_error_rate": "ratio", "latency_p95_ms": "ms"}


ClosedAt = Callable[[], datetime | None]


@dataclass(frozen=True, slots=True)
class Watched:
    """The signal of an issue: what, where, since when, and how it was when the issue opened."""

    resource: str
    signal: str
    operation: str | None
    since: datetime
    opened: Opened


class Verifier:
    """Judges by measuring. ``services`` maps the resource of a process to that of its telemetry."""

    def __init__(
        self, signals: SignalReader, clock: Clock, detect: DetectConfig, services: Mapping[str, str] | None = None
    ) -> None:
        self._signals = signals
        self._clock = clock
        self._detect = detect
        self._services = dict(services or {})

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
        self, issue: Issue, spec: ActionSpec, acted_at: datetime, closed_at: ClosedAt = lambda: None
    ) -> Verdict:
        """Measure until it is clear whether the act helped, at most ``spec.verify_within_s`` long.

        ``closed_at`` says when detection closed the issue. It does so after ``detect.close_after`` of good signals:
        when all of that time lies behind the act, this is the verdict.
        """
        since = acted_at + timedelta(seconds=spec.settle_s)
        watched = _watched(issue, since)
        deadline = acted_at + timedelta(seconds=spec.verify_within_s)
        if issue.type is IssueType.PROCESS_CRASH:
            return await self._of_crash(issue, watched, deadline)
        return await self._of_telemetry(issue, watched, deadline, lambda: self.over(closed_at(), acted_at))

    def over(self, closed_at: datetime | None, begun_at: datetime) -> bool:
        """Does all of the good time that closed the issue lie behind this moment?"""
        return closed_at is not None and closed_at >= begun_at + self._detect.close_after

    # -- telemetry ------------------------------------------------------------------------------------------

    async def _of_telemetry(
        self, issue: Issue, watched: Watched, deadline: datetime, over: Callable[[], bool]
    ) -> Verdict:
        patience = min(watched.since + timedelta(seconds=BAD_PATIENCE_S), deadline)
        while True:
            now = self._clock.now()
            judgement, newest = await self._judge(watched)
            if judgement.word is Word.GOOD:
                return self._verdict(issue, True, judgement)
            if over():
                good_s = self._detect.close_after.total_seconds()
                return self._verdict(issue, True, judgement, f"its signal has been good for {good_s:.0f} s")
            if judgement.word is Word.BAD and now >= patience:
                return self._verdict(issue, False, judgement)
            if now >= deadline:
                return self._at_the_end(issue, watched, judgement, newest)
            await anyio.sleep(POLL_S)

    def _at_the_end(self, issue: Issue, watched: Watched, judgement: Judgement, newest: Signal) -> Verdict:
        leaning = judge.leans_good(newest, watched.opened, self._detect)
        if leaning is not None:  # clearly above what closes the issue, or below it: both are an answer
            return self._verdict(issue, leaning, judgement)
        return self._verdict(issue, None if judgement.word is Word.UNKNOWN else False, judgement)

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
        if watched.signal == "latency_p95_ms":
            return judge.latency(signal, watched.opened, self._detect)
        return judge.error_rate(signal, watched.opened, self._detect)

    async def _read(self, watched: Watched, since: datetime | None = None) -> Signal:
        return await self._signals.read(
            watched.resource, watched.signal, since=since or watched.since, operation=watched.operation
        )

    # -- a process ------------------------------------------------------------------------------------------

    async def _of_crash(self, issue: Issue, watched: Watched, deadline: datetime) -> Verdict:
        """Up, and what it answers is good. Without telemetry being up is enough, and the verdict says so."""
        serving = self._telemetry_of(watched)
        while True:
            now = self._clock.now()
            up = _up(await self._read(watched))
            if up.word is not Word.GOOD:
                if now >= min(deadline, watched.since + timedelta(seconds=DEAD_PATIENCE_S)):
                    return self._verdict(issue, False if up.word is Word.BAD else None, up)
            else:
                served = await self._served(serving)
                if served.word is Word.GOOD:
                    return self._verdict(issue, True, up, f"it runs, and {served.reason}")
                if not served.samples and now >= watched.since + timedelta(seconds=UP_ALONE_S):
                    return self._verdict(issue, True, up, "it runs; no request has come to it yet to judge it by")
                if now >= deadline:
                    helped = served.word is not Word.BAD
                    return self._verdict(issue, helped, up, f"it runs, but {served.reason}")
            await anyio.sleep(POLL_S)

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

    def _verdict(self, issue: Issue, helped: bool | None, judgement: Judgement, reason: str | None = None) -> Verdict:
        said = reason or judgement.reason
        words = {True: f"It helped: {said}.", False: f"It did not help: {said}.", None: f"Nobody can tell: {said}."}
        signal = _signal_of(issue)
        return Verdict(
            helped=helped,
            signal=signal,
            before=issue.evidence.observed,
            after=judgement.value,
            unit=_UNITS[signal],
            sample_size=judgement.samples,
            reason=words[helped],
            judged_at=self._clock.now(),
        )


def _signal_of(issue: Issue) -> str:
    return {
        IssueType.PROCESS_CRASH: "up",
        IssueType.HIGH_ERROR_RATE: "error_rate",
        IssueType.HIGH_LATENCY: "latency_p95_ms",
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
