"""Is a service worse since an act than before it, and worse than it may be? Pure; ``dependents`` reads for it.

Every question is one about a share: of requests that failed, or that took longer than a limit. Three windows are
compared: *before* the incident (what is usual), *during* it (up to the act), and *after* the act.

- **Worse** is measured against what was just before the act: the incident's window where the service was harmed in
  it already, else all that is known from before the act. The share must have risen by half of itself (or five
  points), which chance would do with less than ``alpha`` (Fisher's exact test), and be above what is allowed.
  Where the act came so soon that the incident's own window cannot show what it has done to the service, nobody is
  worse: what the incident leaves behind would be taken for the act's doing. After a crash the time before it is no
  measure at all.
- **Not recovered** is what is not worse, but above what is allowed and above what was usual before the incident.
- Fewer than ``REQUESTS_MIN`` requests after the act, or none to compare them with, mean unknown.
"""

from dataclasses import dataclass
from typing import Final

from homeostat.core.binomial import is_higher
from homeostat.core.dependents import DependentState

REQUESTS_MIN: Final = 20
"""With fewer requests after the act nothing is said."""

WORSE_ALPHA: Final = 0.001
"""Of all that is asked about one act at one look, together: saying that it harmed somebody undoes it."""

HARMED_ALPHA: Final = 0.01
"""That a service suffered before the act already, or still does, only asks for patience."""

HARMED_MIN: Final = 3
"""Fewer bad requests during an incident are no harm yet: one of one may be an accident."""

RISE: Final = 1.5
"""A share that has risen by less is no harm, however sure the rise is: traffic changes by the minute."""

RISE_POINTS: Final = 0.05
"""A rise of five points is one also where half as much again cannot be reached."""


@dataclass(frozen=True, slots=True)
class Count:
    """Bad requests of all in one window."""

    bad: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """0..1; 0 without requests, where nothing may be concluded from it."""
        return self.bad / self.total if self.total else 0.0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.bad + other.bad, self.total + other.total)


@dataclass(frozen=True, slots=True)
class Sides:
    """One share in the three windows."""

    before: Count
    during: Count
    after: Count

    @property
    def knows_usual(self) -> bool:
        """Was there enough before the incident to know what is usual?"""
        return self.before.total >= REQUESTS_MIN

    def was_harmed(self, allowed: float) -> bool:
        """Was it worse than usual, and than allowed, before the act already?"""
        during = self.during
        return during.bad >= HARMED_MIN and during.share > allowed and rose(during, self.before, HARMED_ALPHA)

    def reference(self, allowed: float, *, crashed: bool = False) -> Count | None:
        """What ``after`` is measured against; None: what the incident did by itself is not known.

        ``crashed``: something did not run. Who calls it is measured by nothing but how it was without it.
        """
        if self.during.total < REQUESTS_MIN:
            return None
        if self.was_harmed(allowed):
            return self.during
        return None if crashed else self.before + self.during


def rose(after: Count, before: Count, alpha: float) -> bool:
    """Is the share so much higher that it matters, and surely?"""
    if after.share < min(RISE * before.share, before.share + RISE_POINTS):
        return False
    return is_higher(after.bad, after.total, before.bad, before.total, alpha)


def compare(
    sides: Sides, allowed: float, alpha: float, beyond: Sides | None = None, *, crashed: bool = False
) -> DependentState:
    """How a service is since the act. ``allowed``: the share that may be bad, 0..1.

    ``beyond``: of durations, the same requests by a limit that the incident's own window kept. It tells slower from
    slow where the service was slow already, and every request is above the usual limit in both windows.
    """
    after, reference = sides.after, sides.reference(allowed, crashed=crashed)
    if after.total < REQUESTS_MIN or (sides.before + sides.during).total < REQUESTS_MIN:
        return DependentState.UNKNOWN
    if after.share <= allowed:
        return DependentState.WELL
    harder = beyond if beyond is not None and sides.was_harmed(allowed) else None
    if reference is not None:
        worse = rose(harder.after, harder.during, alpha) if harder else rose(after, reference, alpha)
        if worse:
            return DependentState.WORSE
    if not sides.knows_usual:
        return DependentState.UNKNOWN
    return DependentState.NOT_RECOVERED if rose(after, sides.before, HARMED_ALPHA) else DependentState.WELL
