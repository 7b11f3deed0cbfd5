"""Collects records by their masked text and makes patterns of them. Called by ``question`` in a thread."""

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from homeostat.core.log_patterns import LogPattern
from homeostat.core.logs import LogRecord, LogTable
from homeostat.observe.patterns.masks import Masks
from homeostat.observe.patterns.tree import BUDGET, templates_of
from homeostat.store.telemetry.rows import from_ns, to_ns

TEXT_MAX: Final = 500
"""Characters of a record that count."""

_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])")
"""What makes a terminal show colours (ECMA-48, 5.4: control sequences; 8.3.89: commands to the system)."""

_EXAMPLES: Final = 3
_EXAMPLES_KEPT: Final = 5_000
"""Records held in memory before patterns are known; beyond, only one of each text, up to twice as many."""

_NO_TEXT: Final = "(no text)"
_WORST: Final = ("fatal", "error", "warn", "info", "debug", "trace", "unspecified")


@dataclass(frozen=True, slots=True)
class Window:
    """The time asked about: begins with ``start``, and so has ``steps`` of ``step_s`` seconds."""

    start: datetime
    step_s: int
    steps: int

    def step_of(self, unix_ns: int) -> int:
        """Number of the step in which a time lies; negative before the window."""
        return (unix_ns - to_ns(self.start)) // (self.step_s * 10**9)


def _zeros_by_step() -> defaultdict[int, float]:
    return defaultdict(float)


def _zeros_by_word() -> defaultdict[str, float]:
    return defaultdict(float)


@dataclass(slots=True)
class _Said:
    """One text of one service, or one pattern: how often, when, how bad. Counts are weights of the records read."""

    steps: defaultdict[int, float] = field(default_factory=_zeros_by_step)
    severities: defaultdict[str, float] = field(default_factory=_zeros_by_word)
    previous: float = 0.0
    first_ns: int | None = None
    last_ns: int | None = None
    wanted: int = 0  # examples that were chosen
    examples: list[LogRecord] = field(default_factory=list[LogRecord])

    @property
    def weight(self) -> float:
        """In both times."""
        return self.previous + sum(self.steps.values())

    def span(self, unix_ns: int) -> None:
        """It was seen then."""
        self.first_ns = unix_ns if self.first_ns is None else min(self.first_ns, unix_ns)
        self.last_ns = unix_ns if self.last_ns is None else max(self.last_ns, unix_ns)

    def add(self, other: "_Said") -> None:
        """Count another's in."""
        for step, weight in other.steps.items():
            self.steps[step] += weight
        for word, weight in other.severities.items():
            self.severities[word] += weight
        self.previous += other.previous
        for unix_ns in (other.first_ns, other.last_ns):
            if unix_ns is not None:
                self.span(unix_ns)
        examples = [*self.examples, *other.examples]
        self.examples = sorted(examples, key=lambda record: (-record.time_unix_nano, record.id))[:_EXAMPLES]


class Gatherer:
    """Takes records in, gives patterns out. Not for two threads at once."""

    def __init__(self, masks: Masks, window: Window, *, budget: int = BUDGET) -> None:
        self._masks = masks
        self._window = window
        self._budget = budget
        self._said: dict[str, dict[str, _Said]] = {}  # by service and masked text
        self._examples = 0
        self.left_out = 0.0  # weight of records for which there was no budget left

    def take(self, part: LogTable, weight: float) -> None:
        """Count records in, each for ``weight`` of its kind; give the newest first."""
        table = pa.table(part)
        rows_of: dict[str, list[int]] = {}
        for row, service in enumerate(table["service"].to_pylist()):
            rows_of.setdefault(service, []).append(row)
        texts = _texts(table)
        times, severities = table["time_unix_nano"].to_pylist(), table["severity"].to_pylist()
        chosen: list[tuple[int, _Said]] = []
        for service, rows in rows_of.items():
            known = self._said.setdefault(service, {})
            for text, row in zip(self._masks.apply(service, [texts[row] for row in rows]), rows, strict=True):
                said = known.setdefault(text, _Said())
                if self._count(said, times[row], severities[row], weight):
                    chosen.append((row, said))
        examples = _records(table.take(pa.array([row for row, _ in chosen], pa.int64())))
        for (_, said), example in zip(chosen, examples, strict=True):
            said.examples.append(example)

    def _count(self, said: _Said, unix_ns: int, severity: str, weight: float) -> bool:
        """Whether it is to be an example."""
        said.span(unix_ns)
        step = self._window.step_of(unix_ns)
        if step < 0:
            said.previous += weight
            return False
        said.steps[step] += weight
        said.severities[severity] += weight
        room = _EXAMPLES_KEPT if said.wanted else 2 * _EXAMPLES_KEPT
        if said.wanted >= _EXAMPLES or self._examples >= room:
            return False
        said.wanted += 1
        self._examples += 1
        return True

    def patterns(self, total: int, *, limit: int, before_known: bool) -> tuple[list[LogPattern], int]:
        """The most frequent patterns of the window, and how many there are. ``total`` records were in the window."""
        found: list[LogPattern] = []
        for service in sorted(self._said):
            found += [
                self._pattern(service, template, said, total, before_known)
                for template, said in self._merged(self._said[service]).items()
                if said.steps
            ]
        found.sort(key=lambda pattern: (-pattern.count, pattern.service, pattern.template))
        return found[:limit], len(found)

    def _merged(self, texts: dict[str, _Said]) -> dict[str, _Said]:
        """What was said, by template."""
        order = sorted(texts, key=lambda text: (-texts[text].weight, text))
        templates, self._budget = templates_of(order, self._budget)
        self.left_out += sum(texts[text].weight for text in order[len(templates) :])
        merged: dict[str, _Said] = {}
        for text, template in zip(order, templates, strict=False):
            merged.setdefault(template or _NO_TEXT, _Said()).add(texts[text])
        return merged

    def _pattern(self, service: str, template: str, said: _Said, total: int, before_known: bool) -> LogPattern:
        count, previous = sum(said.steps.values()), said.previous
        assert said.first_ns is not None
        assert said.last_ns is not None
        return LogPattern(
            id=hashlib.sha256(f"{service}\0{template}".encode()).hexdigest()[:16],
            service=service,
            template=template,
            severity=max(_WORST, key=lambda word: said.severities.get(word, 0.0)),
            severities=_rounded(said.severities),
            count=max(1, round(count)),
            share=min(1.0, count / max(1, total)),
            previous_count=round(previous),
            change=count / previous - 1 if previous else None,
            is_new=not previous if before_known else None,
            first_seen=from_ns(said.first_ns),
            last_seen=from_ns(said.last_ns),
            timeline=tuple(round(said.steps.get(step, 0.0)) for step in range(self._window.steps)),
            examples=tuple(said.examples),
        )


def _rounded(severities: dict[str, float]) -> dict[str, int]:
    return {word: max(1, round(severities[word])) for word in _WORST if severities.get(word)}


def _texts(table: pa.Table) -> list[str]:
    """What each record says in its first line; an event without a body says its name."""
    bodies, events = table["body"].to_pylist(), table["event_name"].to_pylist()
    said = (_ANSI.sub("", body[: 4 * TEXT_MAX]).lstrip() or event for body, event in zip(bodies, events, strict=True))
    return [text.partition("\n")[0][:TEXT_MAX].rstrip() for text in said]


def _records(table: pa.Table) -> list[LogRecord]:
    """Rows of a ``LogTable`` as models."""
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row["time"] = from_ns(row["time_unix_nano"])
        row["attributes"], row["resource"] = dict(row["attributes"]), json.loads(row["resource"])
    return [LogRecord.model_validate(row) for row in rows]
