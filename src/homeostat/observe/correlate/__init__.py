"""One timeline of what happened around the systems, and what belongs together on it.

``Timeline`` keeps events, ``Correlator`` makes them from telemetry, ``rank_changes`` says what changed before.
``app`` wires them; the API asks.
"""

from homeostat.observe.correlate.changes import RankedChange, rank_changes
from homeostat.observe.correlate.correlator import Correlator
from homeostat.observe.correlate.graph import CallGraph
from homeostat.observe.correlate.releases import ReleaseWatch
from homeostat.observe.correlate.timeline import Timeline

__all__ = ["CallGraph", "Correlator", "RankedChange", "ReleaseWatch", "Timeline", "rank_changes"]
