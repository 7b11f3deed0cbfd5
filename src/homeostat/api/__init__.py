"""The HTTP API, the live WebSocket and the dashboard's files. ``homeostat.server`` serves ``create_api(parts)``."""

from homeostat.api.app import create_api
from homeostat.api.parts import ApiParts

__all__ = ["ApiParts", "create_api"]
