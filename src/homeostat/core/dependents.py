"""What an act has done to those who depend on what it touched. ``detect`` measures it, ``heal`` weighs it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from homeostat.core.models import IssueType


class DependentState(StrEnum):
    """How a dependent is since an act, compared with itself before."""

    WORSE = "worse"  # than before the act, surely, and worse than it may be
    NOT_RECOVERED = "not_recovered"  # it was harmed before the act, and still is
    WELL = "well"
    UNKNOWN = "unknown"  # no traffic, or too little to say


@dataclass(frozen=True, slots=True)
class Act:
    """One act, as far as its dependents are concerned. Hashable: what was before it is read once."""

    resource: str  # that was acted upon
    issue_resource: str  # whose signal opened the issue
    issue_type: IssueType
    first_bad_at: datetime  # of the issue
    begun_at: datetime  # when the act began: nothing before is its doing
    since: datetime  # when it was done and had settled: only what begins after this is judged


@dataclass(frozen=True, slots=True)
class Dependent:
    """One service that depends on what was acted upon, and how it is since."""

    service: str
    hops: int  # calls between it and what was acted upon; 0: that itself
    state: DependentState
    reason: str  # the figures as half a sentence, e.g. "checkout answers 14.0% errors since the act (21 of 150); ..."
    awaited: bool = False  # unknown, and by its traffic before the act enough requests come within ten seconds
