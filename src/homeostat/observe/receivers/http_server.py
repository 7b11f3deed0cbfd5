"""Where the receivers over HTTP find ``serving``; the API uses the same."""

from homeostat.serving import Application, serving

__all__ = ["Application", "serving"]
