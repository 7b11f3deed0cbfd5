"""A verdict weighs two things: what the issue's own signal says, and how those are who depend on what was touched.

Pure functions; ``verify`` calls them at each reading. Who became worse through the act makes it a bad one, however
good its own signal is. Who has merely not recovered gets the rest of the action's time, and the verdict says so. Who
had traffic before the act, and too little since to say anything, is waited for as long as harm would be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from homeostat.core.dependents import Dependent, DependentState
from homeostat.heal.judge import Judgement, Word

NAMED_MAX: Final = 3
"""So many dependents are named in a verdict; of the rest it says how many there are."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be the verdict now. ``settled``: by its own signal there is nothing left to wait for."""

    helped: bool | None
    judgement: Judgement
    reason: str | None = None
    settled: bool = True
    harmed: tuple[Dependent, ...] = ()  # who became worse through the act
    lagging: tuple[Dependent, ...] = ()  # who has not recovered


def weigh(proposal: Proposal, found: Sequence[Dependent], *, patient: bool, time_left: bool) -> Proposal | None:
    """The verdict, or None while it is too early for one.

    ``patient``: a remedy may still take effect, and what it broke may still come up again. ``time_left``: of the
    time that the action says it takes.
    """
    still_ill = proposal.judgement.word is Word.BAD  # then those who call it suffer from that, not from the act
    harmed = () if still_ill else tuple(one for one in found if one.state is DependentState.WORSE)
    lagging = tuple(one for one in found if one.state is DependentState.NOT_RECOVERED)
    if harmed and not patient:
        return replace(proposal, helped=False, harmed=harmed, lagging=lagging)
    if not proposal.settled:
        return None
    if proposal.helped and time_left and (harmed or lagging):
        return None
    if proposal.helped and patient and any(one.awaited for one in found):
        return None
    return replace(proposal, harmed=harmed, lagging=lagging)


def in_words(weighed: Proposal) -> str:
    """The verdict's text."""
    said = weighed.reason or weighed.judgement.reason
    words = {True: f"It helped: {said}.", False: f"It did not help: {said}.", None: f"Nobody can tell: {said}."}
    if weighed.harmed:
        return f"It did harm: {_listed(weighed.harmed)}. What it was to heal: {said}."
    if weighed.lagging and weighed.helped:
        return f"{words[True]} Not recovered in this time: {_listed(weighed.lagging)}."
    return words[weighed.helped]


def _listed(dependents: Sequence[Dependent]) -> str:
    named = " | ".join(one.reason for one in dependents[:NAMED_MAX])
    rest = len(dependents) - NAMED_MAX
    return f"{named} | and {rest} more" if rest > 0 else named
