"""What the routes of events, alerts and maintenance need. Whoever serves the API fills ``ApiParts.events``."""

from dataclasses import dataclass

from homeostat.core.ports import Ids, LogStore, MetricStore
from homeostat.notify import MaintenanceBook, Outbox
from homeostat.observe.correlate import Timeline
from homeostat.observe.receivers.submit import Submitters


@dataclass(frozen=True)
class EventParts:
    """Everything around the timeline of events."""

    timeline: Timeline
    maintenance: MaintenanceBook
    ids: Ids
    outbox: Outbox | None = None  # None: no Alertmanager is configured
    submitters: Submitters | None = None  # None: telemetry cannot be submitted over this API
    metrics: MetricStore | None = None
    logs: LogStore | None = None
