"""A line of numbers as one line of text. Used by the commands that show something over time."""

from collections.abc import Sequence
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], *, width: int = 60, from_zero: bool = False) -> str:
    """Low to high; a blank where there is nothing. More values than ``width``: each character is a mean of some."""
    shown = _fewer(values, width)
    known = [value for value in shown if value is not None]
    if not known:
        return ""
    low, high = (0.0 if from_zero else min(known)), max(known)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if value is None else _BARS[round((value - low) * scale)] for value in shown)


def _fewer(values: Sequence[float | None], width: int) -> list[float | None]:
    if len(values) <= width:
        return list(values)
    parts = [values[at * len(values) // width : (at + 1) * len(values) // width] for at in range(width)]
    return [_mean([value for value in part if value is not None]) for part in parts]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
