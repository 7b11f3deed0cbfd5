"""How people write a trace id, and what is meant by it: asked by the API, the CLI and the log search."""

from typing import Final

DIGITS: Final = 32
SHORT_DIGITS: Final = 16  # of 64 bits, as Zipkin and Jaeger clients make and print them
_HEX: Final = frozenset("0123456789abcdef")


def full_trace_id(text: str) -> str | None:
    """The 32 lower-case digits of an id of 16 or 32 digits, with or without dashes and blanks; None for what is none.

    An id of 64 bits is one of 128 whose upper half is zero:
    https://www.w3.org/TR/trace-context/#interoperating-with-existing-systems-which-use-shorter-identifiers
    """
    digits = "".join(text.replace("-", "").split()).lower()
    if len(digits) not in {SHORT_DIGITS, DIGITS} or not set(digits) <= _HEX:
        return None
    return digits.zfill(DIGITS)
