"""Which flag answers which trouble. The one table; read by ``disable_flag``."""

from dataclasses import dataclass
from datetime import timedelta

from homeostat.core.models import IssueType


@dataclass(frozen=True, slots=True)
class FlagRule:
    """Turning ``flag`` off is known to answer a type of issue; ``why`` completes "this flag ..."."""

    flag: str
    confidence: float
    why: str


KNOWN: dict[IssueType, tuple[FlagRule, ...]] = {
    IssueType.HIGH_ERROR_RATE: (FlagRule("errorInjectionEnabled", 0.55, "makes services fail on purpose"),),
    IssueType.HIGH_LATENCY: (FlagRule("slowResponsesEnabled", 0.5, "makes services answer slowly on purpose"),),
}

CHANGED_BEFORE = timedelta(minutes=5)
"""A change this long before the first bad second may be its cause."""

IN_USE = timedelta(minutes=1)
"""Services ask for their flags all the time: when none has for so long before the trouble, no flag is its cause."""

CHANGED_JUST_BEFORE = timedelta(minutes=1)

JUST_CHANGED = 0.9
"""Confidence when the flag was turned on within ``CHANGED_JUST_BEFORE``: most incidents begin with a change."""

LATELY_CHANGED = 0.75

ROOT_CAUSE = 0.95
"""Confidence when the root-cause analysis names the flag itself."""

DETECTION_SLACK = timedelta(seconds=2)
"""The first bad second may be reported a little early: telemetry counts whole seconds."""
