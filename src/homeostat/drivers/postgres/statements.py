"""Slow statements: when they have ended they become spans, once each. Used by ``sensors``."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from homeostat.drivers.telemetry import Attribute, Spans, nanoseconds, parent_in

_LITERAL: Final = re.compile(
    r"\$(\w*)\$.*?\$\1\$|[eE]?'(?:[^'\\]|''|\\.)*'?|\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b", re.DOTALL
)
_COMMENT: Final = re.compile(r"/\*.*?(?:\*/|$)|--[^\n]*", re.DOTALL)
_PARAMETER: Final = re.compile(r"(\$\d+)")
_DONE_MAX: Final = 10_000

Row = dict[str, Any]
Key = tuple[int, datetime, datetime]


def sanitized(query: str) -> str:
    """A statement without its values and comments: what people store must not go where telemetry goes."""
    parts = _PARAMETER.split(_COMMENT.sub(" ", query))
    plain = "".join(part if index % 2 else _LITERAL.sub("?", part) for index, part in enumerate(parts))
    return " ".join(plain.split())


def operation(query: str) -> str:
    """The first word of a statement, in capitals; ``QUERY`` where there is none."""
    word = re.match(r"[^A-Za-z]*([A-Za-z]{1,30})", _COMMENT.sub(" ", query))
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
        spans.add(f"{verb} {database}", identity, start_ns, end_ns, attributes, parent=parent_in(query))
