"""What a rehearsal reports. Times are seconds from its start; None is what did not happen."""

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CycleReport(_Model):
    """One fault and what became of it."""

    fault: str  # in words, with its target
    fault_at: float
    first_bad_at: float | None  # start of the first second in which customers felt it
    detected_at: float | None  # the first issue opened
    acted_at: float | None  # the first action was journalled
    errors_zero_at: float | None  # end of the last second in which customers felt it
    verified_at: float | None  # the action that helped was judged by the signal
    rearmed_at: float | None  # all is as it was before the fault, ready for the next
    recovered: bool
    root_cause: str | None
    actions: list[str]
    why: list[str]


class Totals(_Model):
    """Sums over the whole rehearsal. Money in the world's currency."""

    journeys: int
    errors: int
    issues: int
    actions: int
    revenue: float
    revenue_lost: float


class Report(_Model):
    """What ``homeostat demo --headless --json`` prints."""

    scenario: str
    seed: int
    heal: bool
    duration_s: float
    cycles: list[CycleReport]
    totals: Totals

    @property
    def held(self) -> bool:
        """Did every cycle end as it should: recovered with healing, quiet without a fault?"""
        if not self.cycles:
            return self.totals.issues == 0 and self.totals.actions == 0
        return all(cycle.recovered for cycle in self.cycles)
