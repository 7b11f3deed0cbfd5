"""Names the variable parts of log texts: ``<NUM>``, ``<UUID>``, and those of the configuration. Used by ``gather``.

All expressions are RE2's, which Arrow runs over whole columns: their time grows with the length of the text only, so
that no expression, of whomever, can hold the process up.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.compute

from homeostat.core.log_patterns import LogMask

_pc: Final = cast("Any", pyarrow.compute)

_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK: Final = r"\d{2}:\d{2}:\d{2}(?:[.,]\d+)?"
_ZONE: Final = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_UNIT: Final = "(?:ns|us|µs|μs|ms|s|secs?|seconds?|milliseconds?|microseconds?|minutes?|mins?|hours?|hrs?|days?)"
_SEGMENT: Final = r"""[^\s/\\"'()\[\],;:=?&|]+"""

BUILT_IN: Final[tuple[tuple[str, str], ...]] = (
    (r"\bhttps?://[^\s\"'()\[\]]+", "<URL>"),
    (rf"\b\d{{4}}[-/]\d{{2}}[-/]\d{{2}}(?:[T ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:[.,]\d+)?)?{_ZONE})?\b", "<TIMESTAMP>"),
    (rf"\b\d{{2}}/{_MONTH}/\d{{4}}:{_CLOCK}{_ZONE}\b", "<TIMESTAMP>"),
    (rf"\b{_MONTH} [ \d]\d {_CLOCK}\b", "<TIMESTAMP>"),
    (rf"\b{_CLOCK}\b", "<TIMESTAMP>"),
    (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<UUID>"),
    (r"\b(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?::\d{1,5})?\b", "<IP>"),
    (r"\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b", "<IP>"),
    (r"\b(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}\b", "<IP>"),
    (rf"(^|[\s\"'=(\[,:])(?:[A-Za-z]:)?(?:[/\\]{_SEGMENT}){{2,}}[/\\]?(?:\?[^\s\"']*)?", r"\1<PATH>"),
    (rf"\b(?:\d+(?:\.\d+)?(?:{_UNIT}|m|h|d))+\b", "<DURATION>"),
    (rf"\b\d+(?:\.\d+)? {_UNIT}\b", "<DURATION>"),
    (r"\b\d+(?:[.,]\d+)*\b", "<NUM>"),
    (r"\b(?:0[xX][0-9a-fA-F]+|[0-9a-fA-F]{8,})\b", "<HEX>"),  # after numbers: eight digits are no hexadecimal
)
"""Expressions and what stands in their place, in the order of their use. A path has two parts or more."""


class Masks:
    """The masks of a configuration, and the built-in ones behind them."""

    def __init__(self, given: Sequence[LogMask] = ()) -> None:
        self._given = tuple(given)

    def apply(self, service: str, texts: Sequence[str]) -> list[str]:
        """The texts of one service with their variable parts named. Raises ArrowInvalid for a mask that is none."""
        column = pa.array(texts, pa.string())
        for regex, replacement in self._for(service):
            column = _pc.replace_substring_regex(column, pattern=regex, replacement=replacement)
        return cast("list[str]", column.to_pylist())

    def _for(self, service: str) -> tuple[tuple[str, str], ...]:
        given = [(mask.regex, f"<{mask.name}>") for mask in self._given if fnmatchcase(service, mask.service)]
        return (*given, *BUILT_IN)
