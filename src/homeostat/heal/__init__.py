"""Healing: from an incident to a plan, a run, a verdict, and back to how things are meant to be.

``healer.Healer`` is the door; ``loop`` and the API use nothing else of this package.
"""

from homeostat.heal.healer import Healer

__all__ = ["Healer"]
