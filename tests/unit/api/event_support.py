"""The parts of the API that are about events, over the test's state store."""

from datetime import datetime

from api_parts import Setup

from homeostat.api.event_parts import EventParts
from homeostat.core.metrics import Exemplar, MetricInfo, MetricQuery, MetricSeries
from homeostat.notify import MaintenanceBook
from homeostat.observe.correlate import Timeline
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers.submit import Submitters


class NoMetrics:
    """A metric store in which there is nothing."""

    async def metrics(self, since: datetime, *, contains: str = "", limit: int = 1_000) -> list[MetricInfo]:
        return []

    async def series(self, query: MetricQuery) -> list[MetricSeries]:
        return []

    async def exemplars(self, query: MetricQuery) -> list[Exemplar]:
        return []


class Ids:
    """One after the other."""

    count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count:03}"


def event_parts(setup: Setup) -> EventParts:
    """The real timeline and maintenance; what is submitted is counted and goes nowhere."""
    ids = Ids()

    async def submit(payload: bytes) -> Receipt:
        return Receipt(accepted=1 if payload else 0, rejected=0)

    return EventParts(
        timeline=Timeline(setup.state, setup.bus, setup.clock),
        maintenance=MaintenanceBook(setup.state, setup.clock, ids),
        ids=ids,
        submitters=Submitters(submit, submit, submit),
        metrics=NoMetrics(),
    )
