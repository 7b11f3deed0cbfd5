"""What all policies together decide: the Collector's precedence, and the probability that goes with it.

Drop before inverted not sampled, before sampled, before inverted sampled (only where nothing voted against).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from homeostat.core.sampling import DECISION_FAILED, QUIET, Policy, SamplingConfig
from homeostat.observe.sampling.facts import Facts
from homeostat.observe.sampling.policies import FIRST, Chances, Judge, Mask, Round, Vote, build, is_inverted

PROBABILITY_MIN = 1e-9
"""Of what is kept: its weight stays finite."""

NO_REASON = 0
QUIET_REASON = 1
FAILED_REASON = 2
_OWN_REASONS = ("", QUIET, DECISION_FAILED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the traces of a round."""

    keep: Mask
    probability: Chances  # 0 where not kept
    reason: npt.NDArray[np.int64]  # a place in ``Verdicts.reasons``


def kept_undecided(head: Chances) -> Verdict:
    """All of a round, because nobody could decide. ``head``: with which probability each was sampled before."""
    return Verdict(
        keep=np.ones(len(head), dtype=np.bool_),
        probability=np.clip(head, PROBABILITY_MIN, 1.0),
        reason=np.full(len(head), FAILED_REASON, dtype=np.int64),
    )


@dataclass(slots=True)
class _Tally:
    """The votes so far."""

    sampled: Mask
    dropped: Mask
    vetoed: Mask  # inverted, not sampled
    inverted: Mask  # inverted, sampled
    against: Mask  # a plain "not sampled"
    missed: Chances  # the probability that no policy sampled it
    spared: Chances  # the probability that none dropped it
    best: Chances
    reason: npt.NDArray[np.int64]

    @classmethod
    def of(cls, traces: int) -> "_Tally":
        def none() -> Mask:
            return np.zeros(traces, dtype=np.bool_)

        reason = np.zeros(traces, dtype=np.int64)
        certain = np.ones(traces)
        return cls(none(), none(), none(), none(), none(), certain, certain.copy(), -certain, reason)

    def credit(self, where: Mask, chance: Chances, reason: int) -> None:
        """The reason is the surest policy, of equally sure ones the first."""
        better = where & ((chance > self.best) | ((chance == self.best) & (self.reason > reason)))
        self.best[better] = chance[better]
        self.reason[better] = reason


class Verdicts:
    """All policies of a configuration."""

    def __init__(self, config: SamplingConfig, facts: Facts) -> None:
        self._policies: Sequence[Policy] = config.effective_policies
        self._judges: list[Judge] = [build(policy, facts, policy.name) for policy in self._policies]
        self._first_match = config.sample_on_first_match
        self.reasons = (*_OWN_REASONS, *(policy.name for policy in self._policies))
        self.needs_bytes = any(part.bytes_limiting for policy in self._policies for part in policy.walk())
        self.needs_whole = any(part.type == "cel" for policy in self._policies for part in policy.walk())
        places = range(len(self._judges))
        self._order = list(places) if self._first_match else sorted(places, key=lambda p: self._judges[p].turn)

    def decide(self, traces: Round, *, quiet: Mask, head: Chances) -> Verdict:
        """Judge a round. ``quiet``: what began when there was little, and is kept. ``head``: sampled before with."""
        tally = _Tally.of(len(traces))
        for place in self._order:
            among = self._among(place, tally)
            self._count(place, self._judges[place].vote(traces, among), among, tally)
        keep = tally.sampled | (tally.inverted & ~tally.against)
        chance = np.where(tally.sampled, 1.0 - tally.missed, 1.0)
        spare = quiet & ~(keep & (chance == 1.0))
        keep, chance = keep | spare, np.where(spare, 1.0, chance)
        reason = np.where(spare & ~(tally.dropped | tally.vetoed), QUIET_REASON, tally.reason)
        keep &= ~(tally.dropped | tally.vetoed)
        probability = np.where(keep, np.clip(chance * tally.spared * head, PROBABILITY_MIN, 1.0), 0.0)
        shown = keep | tally.dropped | tally.vetoed
        return Verdict(keep, probability, np.where(shown, reason, NO_REASON))

    def _among(self, place: int, tally: _Tally) -> Mask:
        """Whom a policy is asked about: not all of them about those that are kept or dropped for sure."""
        everyone = np.ones(len(tally.sampled), dtype=np.bool_)
        if self._first_match:
            return everyone & ~(tally.sampled | tally.dropped)
        if self._judges[place].turn != FIRST and self._policies[place].type != "drop":
            return ~(tally.dropped | tally.vetoed | (tally.sampled & (tally.best == 1.0)))
        return everyone

    def _count(self, place: int, vote: Vote, among: Mask, tally: _Tally) -> None:
        policy, reason = self._policies[place], place + len(_OWN_REASONS)
        sampled = vote.sampled & among
        if policy.type == "drop":
            tally.dropped |= sampled
            tally.against |= ~sampled
            tally.spared *= 1.0 - np.where(sampled, 0.0, vote.chance)
            tally.reason[sampled] = reason
            tally.best[sampled] = 2.0  # nothing is surer
        elif is_inverted(policy):
            tally.inverted |= sampled
            tally.vetoed |= ~vote.sampled & among
            tally.credit(sampled | ~vote.sampled & among, np.zeros(len(sampled)), reason)
        else:
            tally.sampled |= sampled
            tally.against |= ~sampled
            tally.missed *= 1.0 - vote.chance
            tally.credit(sampled, vote.chance, reason)

    def state(self) -> dict[str, Mapping[str, float]]:
        """What the policies remember from round to round, by name."""
        states = {policy.name: judge.state() for policy, judge in zip(self._policies, self._judges, strict=True)}
        return {name: state for name, state in states.items() if state}

    def restore(self, states: Mapping[str, Mapping[str, float]]) -> None:
        """Go on from what ``state`` gave; policies that it does not name begin anew."""
        for policy, judge in zip(self._policies, self._judges, strict=True):
            if policy.name in states:
                judge.restore(states[policy.name])
