"""The one test behind error rate and latency: is the share of bad requests above a threshold, surely?

An error rate is a share of requests. So is a 95th percentile: it lies above a limit exactly when more than 5 % of
the requests took longer. ``ShareTest`` judges one count of bad requests among all. There are two ways to be bad:

**surely**: the lower confidence bound of the share is above the threshold. The test is repeated every second in
several overlapping windows, so each single one is made ``LOOKS`` times stricter than the configured confidence.
With the default of 0.995 that is 1 - 1e-4: a series at exactly the threshold is called bad about once an hour,
one at 3/5 of it not once in forty hours (two of them are a test: ``tests/simulation/test_detection.py``).

**changed**: by its own past so many bad requests had a chance of less than 1 in 10^8 (posterior predictive of
``binomial.surprise``), so *something* has changed; and the bound is above the threshold at the ordinary confidence
of 90 %. The protection against repeated looks lies in the first half: what has always failed at 3 % does not
surprise. This halves the time in which a service that never fails is found to fail at twice the threshold.
"""

from dataclasses import dataclass
from enum import StrEnum

from homeostat.core.binomial import is_above, is_below, surprise

LOOKS = 50
"""How many effectively independent looks share the configured error probability (about a minute of them)."""

CHANGED_CONFIDENCE = 0.9
SURPRISE = 1e-8
GOOD_CONFIDENCE = 0.95


class Reason(StrEnum):
    """In which of the two ways a share is bad."""

    SURELY = "surely"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ShareTest:
    """``threshold`` and ``close_at`` are shares, 0..1; ``confidence`` is one-sided, for about a minute of looking."""

    threshold: float
    close_at: float
    confidence: float
    min_requests: int
    surely_below: float | None = None  # what the share must surely be below to be good; None: the threshold

    @property
    def alpha(self) -> float:
        """The error probability of a single look."""
        return (1.0 - self.confidence) / LOOKS

    def confidence_of(self, reason: Reason) -> float:
        """The confidence at which the lower bound is above the threshold."""
        return 1.0 - self.alpha if reason is Reason.SURELY else CHANGED_CONFIDENCE

    def bad(self, hits: int, total: int, past_hits: float, past_total: float) -> Reason | None:
        """Why ``hits`` of ``total`` are too many, given the past; None when they are not, or too few to say."""
        if total < self.min_requests or hits <= total * self.threshold:
            return None
        if is_above(hits, total, self.threshold, self.alpha):
            return Reason.SURELY
        changed = is_above(hits, total, self.threshold, 1.0 - CHANGED_CONFIDENCE)
        if changed and surprise(hits, total, past_hits, past_total) < SURPRISE:
            return Reason.CHANGED
        return None

    def good(self, hits: int, total: int) -> bool:
        """Whether the share is at most ``close_at`` and, with 95 % confidence, below ``surely_below``."""
        if total < self.min_requests or hits > total * self.close_at:
            return False
        limit = self.threshold if self.surely_below is None else self.surely_below
        return is_below(hits, total, limit, 1.0 - GOOD_CONFIDENCE)
