"""Collects records by their masked text and makes patterns of them. Called by ``question`` in a thread."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from homeostat.core.log_patterns import LogPattern
from homeostat.core.logs import LogRecord
from homeostat.observe.patterns.masks import Masks
from homeostat.observe.patterns.tree import BUDGET, templates_of

TEXT_MAX: Final = 500
"""Characters of a record that count."""

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

    def step_of(self, time: datetime) -> int:
        """Number of the step in which a time lies; negative before the window."""
        return int((time - self.start).total_seconds() // self.step_s)


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
    first: datetime | None = None
    last: datetime | None = None
    examples: list[LogRecord] = field(default_factory=list[LogRecord])

    @property
    def weight(self) -> float:
        """In both times."""
        return self.previous + sum(self.steps.values())

    def span(self, time: datetime) -> None:
        """It was seen then."""
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)

    def add(self, other: "_Said") -> None:
        """Count another's in."""
        for step, weight in other.steps.items():
            self.steps[step] += weight
        for word, weight in other.severities.items():
            self.severities[word] += weight
        self.previous += other.previous
        for time in (other.first, other.last):
            if time is not None:
                self.span(time)
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

    def take(self, records: Iterable[LogRecord], weight: float) -> None:
        """Count records in, each for ``weight`` of its kind; give the newest first."""
        of_service: dict[str, list[LogRecord]] = {}
        for record in records:
            of_service.setdefault(record.service, []).append(record)
        for service, some in of_service.items():
            texts = self._masks.apply(service, [_text(record) for record in some])
            known = self._said.setdefault(service, {})
            for text, record in zip(texts, some, strict=True):
                self._count(known.setdefault(text, _Said()), record, weight)

    def _count(self, said: _Said, record: LogRecord, weight: float) -> None:
        said.span(record.time)
        step = self._window.step_of(record.time)
        if step < 0:
            said.previous += weight
            return
        said.steps[step] += weight
        said.severities[record.severity] += weight
        room = _EXAMPLES_KEPT if said.examples else 2 * _EXAMPLES_KEPT
        if len(said.examples) < _EXAMPLES and self._examples < room:
            said.examples.append(record)
            self._examples += 1

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
        assert said.first is not None
        assert said.last is not None
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
            first_seen=said.first,
            last_seen=said.last,
            timeline=tuple(round(said.steps.get(step, 0.0)) for step in range(self._window.steps)),
            examples=tuple(said.examples),
        )


def _rounded(severities: dict[str, float]) -> dict[str, int]:
    return {word: max(1, round(severities[word])) for word in _WORST if severities.get(word)}


def _text(record: LogRecord) -> str:
    """What a record says in its first line; an event without a body says its name."""
    said = record.body[: 4 * TEXT_MAX].lstrip() or record.event_name
    return said.partition("\n")[0][:TEXT_MAX].rstrip()
