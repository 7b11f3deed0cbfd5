"""What every section of the configuration is made of: strict models, and durations with their unit.

Used by ``core.config`` and by the modules that describe a section of their own (``core.sampling``).
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")


def parse_duration(value: object) -> object:
    """Read ``500ms``, ``30s``, ``5m``, ``2h`` or ``30d``.

    Raises ValueError for anything else (a bare number leaves its unit to be guessed), and for what is not longer
    than nothing.
    """
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)) is not None:
        value = timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    if not isinstance(value, timedelta):
        raise ValueError("write a duration with its unit, as 500ms, 30s, 5m, 2h or 30d")
    if value <= timedelta(0):
        raise ValueError("a duration must be longer than nothing")
    return value


def duration_text(value: timedelta) -> str:
    """The same duration as it is written in a configuration."""
    seconds = value.total_seconds()
    for unit, length in reversed(_UNITS.items()):
        if seconds >= length and (seconds / length).is_integer():
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds * 1000:.0f}ms"


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class Section(BaseModel):
    """Base of every section: a key that is not known is an error, not a silent nothing.

    Errors do not quote what was given: it may be a password.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
