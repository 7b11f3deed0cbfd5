"""Which content coding a client takes. Asked by the routes that answer packed: ``pages`` and ``trace_page``."""

import re
from typing import Final

_ZERO: Final = re.compile(r"0(\.0{0,3})?")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header ``Accept-Encoding`` allows gzip by name or by ``*``; a weight of 0 forbids it.

    Source: RFC 9110, 12.5.3.
    """
    allowed: dict[str, bool] = {}
    for one in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in one.split(";"))
        weights = [
            value.strip() for name, _, value in (part.partition("=") for part in parameters) if name.strip() == "q"
        ]
        allowed[coding] = not any(_ZERO.fullmatch(weight) for weight in weights)
    return allowed.get("gzip", allowed.get("*", False))
