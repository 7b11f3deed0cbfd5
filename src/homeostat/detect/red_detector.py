"""The frame of the detectors that read RED metrics: which windows, which series, when bad, when good again.

``error_rate`` and ``latency`` fill it in with a ``Measure``: what counts as a bad request, and how to say it.
One finding per service at most: the whole service where that is bad, else its worst operation.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from homeostat.core import resources
from homeostat.core.binomial import lower_bound, tail_at_least
from homeostat.core.models import Evidence, Finding, IssueType, Severity
from homeostat.core.ports import RedReader
from homeostat.core.red import RedPoint
from homeostat.detect.baseline import Baselines, Past
from homeostat.detect.share import Reason, ShareTest
from homeostat.detect.windows import WINDOWS_S, Key, Windows, at

GOOD_WINDOWS_S = (*WINDOWS_S, 120, 300, 600)
"""The long ones are for services with so little traffic that a minute of it proves no recovery."""

ONSET_BACK_S = 120  # the beginning of a bad streak is looked for this far back
EXPLAINED_BY = 2  # complete bad requests, or complete seconds, that a cause can be read from
EARLIER_CHANCE = 0.001  # a stretch that was this unlikely in the present streak lies before it
OUTDATED_CHANCE = 0.05  # a recent past that was this unlikely under a long window's share outdates that window


@dataclass(frozen=True, slots=True)
class Judged:
    """A series found bad."""

    key: Key
    point: RedPoint
    hits: int
    window_s: int
    reason: Reason

    @property
    def share(self) -> float:
        """Bad requests of all, 0..1."""
        return self.hits / self.point.requests


class Measure(Protocol):
    """What tells one RED detector from another."""

    @property
    def detector(self) -> str: ...
    @property
    def type(self) -> IssueType: ...
    def hits(self, key: Key, point: RedPoint) -> int:
        """Requests that are bad by the limit at which an issue opens."""
        ...

    def close_hits(self, key: Key, point: RedPoint) -> int:
        """Requests that are bad by the limit at which it closes."""
        ...

    def can_judge(self, past: Past) -> bool:
        """Whether a series with this past may be called bad at all."""
        ...

    def past_hits(self, past: Past) -> float:
        """Bad requests among ``past.requests``."""
        ...

    def severity(self, judged: Judged) -> Severity: ...
    def bad_evidence(self, judged: Judged, lower_bound: float) -> Evidence:
        """The numbers behind "bad"; the bound is of the share, at the confidence of its reason."""
        ...

    def other_evidence(self, key: Key, point: RedPoint | None, window_s: int) -> Evidence:
        """The numbers behind "good" or, with None, "no data"."""
        ...


class RedDetector:
    """Looks at every service. Keeps only what belongs to a bad streak; what is lost in a crash is found again."""

    def __init__(self, red: RedReader, baselines: Baselines, test: ShareTest, measure: Measure) -> None:
        self._red = red
        self._baselines = baselines
        self._test = test
        self._measure = measure
        self._onset_s: dict[str, int] = {}
        self._offenders: dict[str, set[Key]] = {}  # the series that must be good before their service is
        self._well_since_s: dict[str, int] = {}  # what was before is settled, and is not found a second time
        self._judged: dict[int, tuple[float, list[Judged]]] = {}  # by window, until it is read again

    def remember(self, service: str, operation: str | None) -> None:
        """An issue restored after a restart was about this series."""
        self._offenders.setdefault(service, set()).add((service, operation))

    def look(self, windows: Windows, watched: Collection[str]) -> list[Finding]:
        """Findings on every bad service and, good or unknown, on the ``watched`` ones (those with an open issue)."""
        worst: dict[str, Judged] = {}
        for judged in self._bad_series(windows):
            service = judged.key[0]
            self._offenders.setdefault(service, set()).add(judged.key)
            known = worst.get(service)
            if known is None or _rank(judged) > _rank(known):
                worst[service] = judged
        for service in self._onset_s.keys() - worst.keys() - set(watched):
            del self._onset_s[service]
        for service in self._offenders.keys() - worst.keys() - set(watched):
            del self._offenders[service]  # a streak too short to become an issue, or an issue that has closed
        findings = [self._bad_finding(windows, judged) for judged in worst.values()]
        told = [one for one in findings if _name(one) in watched or self._can_be_explained(windows, _name(one))]
        return told + [self._other_finding(windows, service) for service in watched if service not in worst]

    def _can_be_explained(self, windows: Windows, service: str) -> bool:
        """Whether the beginning is complete: two bad requests in complete seconds, or two complete seconds.

        Before that the spans of what made them bad may be missing, and a victim whose spans came first would be
        taken for the cause. It costs the clearest faults about a second.
        """
        onset_s, complete_s = self._onset_s[service], windows.complete_end_s
        if complete_s is None or complete_s <= onset_s:
            return False
        begun = self._red.series(service, onset_s, complete_s, complete_s - onset_s)
        hits = sum(self._measure.hits((service, None), point) for point in begun)
        return hits >= EXPLAINED_BY or complete_s - onset_s >= EXPLAINED_BY

    # -- bad ------------------------------------------------------------------------------------------------

    def _bad_series(self, windows: Windows) -> list[Judged]:
        """From the shortest window to the longest; the shortest that shows a series to be bad speaks for it."""
        found: dict[Key, Judged] = {}
        for window_s in WINDOWS_S:
            for judged in self._bad_in(windows, window_s):
                if judged.key not in found and self._is_current(windows, judged):
                    found[judged.key] = judged
        return list(found.values())

    def _bad_in(self, windows: Windows, window_s: int) -> list[Judged]:
        """The bad series of one window; judged once each time the window is read."""
        points, read_at = windows.bad(window_s), windows.read_at(window_s)
        known = self._judged.get(window_s)
        if known is None or known[0] != read_at:
            judged = [self._judge(key, point, window_s) for key, point in points.items()]
            known = self._judged[window_s] = (read_at, [one for one in judged if one is not None])
        return known[1]

    def _judge(self, key: Key, point: RedPoint, window_s: int) -> Judged | None:
        if point.requests < self._test.min_requests:
            return None
        hits = self._measure.hits(key, point)
        if hits <= point.requests * self._test.threshold:
            return None  # the common case, before anything is computed
        past = self._baselines.of(key)
        if not self._measure.can_judge(past):
            return None
        reason = self._test.bad(hits, point.requests, self._measure.past_hits(past), past.requests)
        if reason is None:
            return None
        return Judged(key=key, point=point, hits=hits, window_s=window_s, reason=reason)

    def _is_current(self, windows: Windows, judged: Judged) -> bool:
        """Whether a long window still speaks of now. It does not when it reaches back before the service was last
        found well, nor when a shorter one shows a recent past that this share would hardly have produced."""
        if judged.point.start_s < self._well_since_s.get(judged.key[0], 0):
            return False
        for window_s in WINDOWS_S:
            recent = windows.bad(window_s).get(judged.key) if window_s < judged.window_s else None
            if recent is not None:
                hits = self._measure.hits(judged.key, recent)
                if 1.0 - tail_at_least(hits + 1, recent.requests, judged.share) < OUTDATED_CHANCE:
                    return False
        return True

    def _bad_finding(self, windows: Windows, judged: Judged) -> Finding:
        service = judged.key[0]
        end_s = windows.end_s if windows.end_s is not None else judged.point.end_s
        if service not in self._onset_s:
            self._onset_s[service] = self._first_bad_s(judged, end_s)
        bound = lower_bound(judged.hits, judged.point.requests, self._test.confidence_of(judged.reason))
        return Finding(
            detector=self._measure.detector,
            type=self._measure.type,
            resource=resources.service(service),
            bad=True,
            severity=self._measure.severity(judged),
            evidence=self._measure.bad_evidence(judged, bound),
            time=windows.now,
            first_bad_at=at(self._onset_s[service]),
        )

    def _first_bad_s(self, judged: Judged, end_s: int) -> int:
        """Start of the first second of the bad streak that is going on: the likeliest moment of the change.

        Of all seconds with bad requests, the one is chosen that divides the last ``ONSET_BACK_S`` best into a part
        like the past and a part with a share of its own: the greatest likelihood ratio (the change point estimate
        that goes with Page's cumulative sum, Biometrika 41, 1954). A stray error before the fault is left out, and
        so is an earlier streak: the search ends where the service was last well, or where a stretch lies before
        the best second that would hardly belong to it.
        """
        service = judged.key[0]
        past = self._baselines.of((service, None))
        # An unknown past is taken for one with 1 bad request in 200: only the comparison of seconds matters here.
        usual = min(self._test.threshold, (self._measure.past_hits(past) + 0.05) / (past.requests + 10.0))
        start_s = min(end_s - 1, max(end_s - ONSET_BACK_S, self._well_since_s.get(service, 0)))
        # One bad operation may not show in its service's counts; then nothing is likelier than its window's start.
        best, best_gain, in_best = judged.point.start_s, 0.0, (0, 0)
        hits, requests = 0, 0
        for point in reversed(self._red.series(service, start_s, end_s, 1)):
            bad_here = self._measure.hits((service, None), point)
            hits, requests = hits + bad_here, requests + point.requests
            gain = _likelihood_gain(hits, requests, usual) if bad_here else 0.0
            if gain > best_gain:
                best, best_gain, in_best = point.start_s, gain, (hits, requests)
            elif in_best[1]:
                before = hits - in_best[0], requests - in_best[1]
                if 1.0 - tail_at_least(before[0] + 1, before[1], in_best[0] / in_best[1]) < EARLIER_CHANCE:
                    break
        return best

    # -- good -----------------------------------------------------------------------------------------------

    def _other_finding(self, windows: Windows, service: str) -> Finding:
        """Good when the service and every series that was bad are good; unknown (None) otherwise."""
        keys = {(service, None), *self._offenders.get(service, ())}
        shown: tuple[RedPoint | None, int] = (None, 0)
        good = True
        for key in sorted(keys, key=str):
            point, window_s = self._good_point(windows, key)
            good = good and point is not None
            if point is not None and window_s >= shown[1]:
                shown = (point, window_s)
        if good and shown[0] is not None:
            self._well_since_s[service] = shown[0].start_s
        return Finding(
            detector=self._measure.detector,
            type=self._measure.type,
            resource=resources.service(service),
            bad=False if good else None,
            severity=Severity.LOW,
            evidence=self._measure.other_evidence((service, None), shown[0] if good else None, shown[1]),
            time=windows.now,
        )

    def _good_point(self, windows: Windows, key: Key) -> tuple[RedPoint | None, int]:
        """The shortest window of complete seconds that shows the series to be good, and its length.

        A window with too many bad requests ends the search: the longer ones hold them too, however diluted.
        """
        for window_s in GOOD_WINDOWS_S:
            points = windows.good(window_s)
            point = points.get(key) or _only_operation(points, key)
            if point is None or point.requests < self._test.min_requests:
                continue
            if not self._is_alive(windows, key, window_s):
                return None, 0
            hits = self._measure.close_hits(key, point)
            if hits > point.requests * self._test.close_at:
                return None, 0
            if self._test.good(hits, point.requests):
                return point, window_s
        return None, 0

    def _is_alive(self, windows: Windows, key: Key, window_s: int) -> bool:
        """Whether the newest tenth of a window has requests, too: a service that has fallen silent was well once."""
        newest_s = next(one for one in GOOD_WINDOWS_S if one >= window_s / 10)
        points = windows.good(newest_s)
        return key in points or _only_operation(points, key) is not None


def _only_operation(points: dict[Key, RedPoint], key: Key) -> RedPoint | None:
    """An operation that is all its service does is not listed apart; then the service's point is its own."""
    if any(service == key[0] and operation is not None for service, operation in points):
        return None
    return points.get((key[0], None))


def _likelihood_gain(hits: int, total: int, usual: float) -> float:
    """Log likelihood of ``hits`` of ``total`` at their own share over that at the ``usual`` one; 0 when not above."""
    share = hits / total
    if share <= usual:
        return 0.0
    missed = 0.0 if hits == total else (total - hits) * math.log((1.0 - share) / (1.0 - usual))
    return hits * math.log(share / usual) + missed


def _name(finding: Finding) -> str:
    return resources.ResourceId.parse(finding.resource).name


def _rank(judged: Judged) -> tuple[bool, float]:
    """A whole service says more than one operation of it; among operations the worst."""
    return judged.key[1] is None, judged.share
