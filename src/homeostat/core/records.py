"""Totals of what is on record, counted by the state store. The API shows and exports them."""

from pydantic import Field

from homeostat.core.models import Model, RunStatus


class RecordCounts(Model):
    """How much there is of everything, as long as it is kept (``storage.retention``)."""

    issues_total: int = 0
    issues_open: int = 0
    plans_total: int = 0
    runs_by_status: dict[RunStatus, int] = Field(default_factory=dict)
    runs_begun: int = 0  # that got as far as the intent to act
    runs_not_helped: int = 0  # judged, and the verdict was not that it helped
    verified_durations_s: tuple[float, ...] = ()  # from intent to verdict, of verified runs
    rearmed: int = 0  # runs whose change recovery put back; what a person takes back is not among them
    escalated: int = 0  # incidents handed to a person
