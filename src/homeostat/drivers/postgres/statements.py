"""Slow statements: when they have ended they become spans, once each. Used by ``sensors``."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from homeostat.core.red import SLOW_ONLY
from homeostat.drivers.telemetry import Attribute, Spans, nanoseconds, parent_in

_COMMENT_FLAT: Final = r"/\*(?:(?!/\*|\*/).)*+(?:\*/|\Z)"
_COMMENT: Final = rf"/\*(?:{_COMMENT_FLAT}|(?!/\*|\*/).)*+(?:\*/|\Z)|/\*.*|--[^\n\r]*"
"""With one within the other; a deeper one takes the rest of the text with it."""

_TOKEN: Final = re.compile(
    rf"""(?P<comment>{_COMMENT})
    |(?P<literal>
        \$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)
        |[eE]'(?:[^'\\]|''|\\.|\\\Z)*+'?
        |'(?:[^']|'')*+'?  # standard_conforming_strings: a backslash is a character like any other
        |0[xXoObB][\da-fA-F_]+
        |(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?
    )
    |"(?:[^"]|"")*+"?
    |\$\d+
    |[^\W\d][\w$]*""",
    re.DOTALL | re.VERBOSE,
)
"""What PostgreSQL reads as one piece, wherever it begins; what was cut off lasts to the end. The rest are signs."""

_DONE_MAX: Final = 10_000

Row = dict[str, Any]
Key = tuple[int, datetime, datetime]


def sanitized(query: str) -> str:
    """A statement without its values and comments: what people store must not go where telemetry goes."""
    return " ".join(_TOKEN.sub(_without_value, query).split())


def _without_value(token: re.Match[str]) -> str:
    if token["comment"] is not None:
        return " "
    return token[0] if token["literal"] is None else "?"


def operation(query: str) -> str:
    """The first word of a statement, in capitals; ``QUERY`` where there is none."""
    word = re.match(r"[^A-Za-z]*([A-Za-z]{1,30})", sanitized(query))
    return word[1].upper() if word else "QUERY"


class SlowStatements:
    """Remembers what runs and what was told."""

    def __init__(self) -> None:
        self._running: dict[Key, Row] = {}
        self._done: dict[Key, None] = {}

    def look(self, rows: Sequence[Row], spans: Spans) -> None:
        """Rows of ``queries.SLOW``. A statement that vanished with its connection ended when it was last seen."""
        now: dict[Key, Row] = {}
        for row in rows:
            key = (int(row["pid"]), row["backend_start"], row["query_start"])
            if row["ended"] is None:
                now[key] = row
            else:
                self._tell(key, row, row["ended"], spans)
        for key, row in self._running.items():
            if key not in now and key not in self._done:
                self._tell(key, row, row["seen"], spans)
        self._running = now

    def _tell(self, key: Key, row: Row, ended: datetime, spans: Spans) -> None:
        if key in self._done:
            return
        self._done[key] = None
        if len(self._done) > _DONE_MAX:
            del self._done[next(iter(self._done))]
        verb, database, query = operation(row["query"]), str(row["datname"]), str(row["query"])
        attributes: dict[str, Attribute] = {
            "db.system.name": "postgresql",
            "db.namespace": database,
            "db.operation.name": verb,
            "db.query.text": sanitized(query),
            "db.user": str(row["usename"]),
            "postgresql.pid": key[0],
        }
        if row["client"]:
            attributes["client.address"] = str(row["client"])
        if row["wait_event_type"] == "Lock":
            attributes["postgresql.waited_for"] = "Lock"
        start_ns = nanoseconds(row["query_start"])
        identity = f"{database} {key[0]} {start_ns}"
        end_ns = max(start_ns, nanoseconds(ended))
        spans.add(
            f"{verb} {database}", identity, start_ns, end_ns, attributes, parent=parent_in(query), scope=SLOW_ONLY
        )
