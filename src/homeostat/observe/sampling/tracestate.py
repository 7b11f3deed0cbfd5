"""Reads W3C trace states: the sampling threshold that an OpenTelemetry SDK left there, and entries for policies.

Formats: W3C Trace Context level 2, "tracestate header"; OpenTelemetry specification, "TraceState: Probability
Sampling" (``ot=th:…``: a rejection threshold of 56 bits in hexadecimal, trailing zeros left out).
"""

import re
from typing import Final

_THRESHOLD: Final = re.compile(r"[0-9a-f]{1,14}")
_DIGITS: Final = 14
_SCALE: Final = 1 << 56


def entry(trace_state: str, key: str) -> str | None:
    """The value of a list member; None when there is none."""
    for member in trace_state.split(","):
        name, separator, value = member.strip(" \t").partition("=")
        if separator and name == key:
            return value
    return None


def probability(trace_state: str) -> float | None:
    """With which probability the trace was sampled before it came here; None when it doesn't say, or nonsense."""
    for part in (entry(trace_state, "ot") or "").split(";"):
        name, _, value = part.partition(":")
        if name == "th" and _THRESHOLD.fullmatch(value):
            return (_SCALE - int(value.ljust(_DIGITS, "0"), 16)) / _SCALE
    return None
