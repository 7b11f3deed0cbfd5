"""Signals become findings, findings become issues, issues become incidents with a root cause.

``Detection`` (detector.py) is what the loop calls; ``Signals`` (signals.py) and ``DependentServices`` (dependents.py)
are what verification measures with; ``health.py`` answers the API. Nothing here acts, stores or publishes: what
changed is returned.
"""

from homeostat.detect.dependents import DependentServices
from homeostat.detect.detector import Detection, DetectionResult
from homeostat.detect.health import HealthReader, OverallHealth, ServiceHealth
from homeostat.detect.incidents import IncidentChange
from homeostat.detect.issues import ChangeKind, IssueChange
from homeostat.detect.signals import Signals

__all__ = [
    "ChangeKind",
    "DependentServices",
    "Detection",
    "DetectionResult",
    "HealthReader",
    "IncidentChange",
    "IssueChange",
    "OverallHealth",
    "ServiceHealth",
    "Signals",
]
