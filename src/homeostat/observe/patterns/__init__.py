"""Finds the patterns of log records when somebody asks for them. Used by ``api.logs``; not on the way in."""

from homeostat.observe.patterns.masks import Masks
from homeostat.observe.patterns.question import PatternFinder

__all__ = ["Masks", "PatternFinder"]
