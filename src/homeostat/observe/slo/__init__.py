"""Service level objectives: definitions (``book``, OpenSLO), evaluation by the minute, alerts, Prometheus rules.

``app`` runs ``SloService``; ``api.slos`` and ``cli.slo`` are its faces.
"""

from homeostat.observe.slo.service import SloService, forecast_text
from homeostat.observe.slo.sources import Sources

__all__ = ["SloService", "Sources", "forecast_text"]
