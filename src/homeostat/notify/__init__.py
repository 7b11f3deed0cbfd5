"""Alerts in and out, and the times in which nobody is to be alerted. ``app`` wires it to timeline and healing."""

from homeostat.notify.alertmanager import Alertmanager
from homeostat.notify.maintenance import MaintenanceBook
from homeostat.notify.outbox import Outbox
from homeostat.notify.webhook import WebhookMessage, events_of

__all__ = ["Alertmanager", "MaintenanceBook", "Outbox", "WebhookMessage", "events_of"]
