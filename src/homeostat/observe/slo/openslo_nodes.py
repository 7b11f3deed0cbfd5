"""Reads typed values out of an OpenSLO document and collects what is wrong, with file, line, key and remedy."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from homeostat.core.errors import ConfigError, ConfigProblem
from homeostat.observe.slo.openslo_text import RefusedError, load_documents
from homeostat.observe.slo.windows import DAY_S, HOUR_S, MINUTE_S

DOCUMENTS_MAX: Final = 1_000
TEXT_BYTES_MAX: Final = 1024 * 1024
PROBLEMS_MAX: Final = 100
_MINUTES_MAX: Final = 1_000_000
_NUMBER_MAX: Final = 1e300
_INTEGER_MAX: Final = 1 << 64  # beyond, Python would not write it out in digits

_UNITS_S: Final = {"m": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}
_PAIR: Final = re.compile(r"((?<!\\)(?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhdw])")


@dataclass(slots=True)
class Problems:
    """Everything wrong in one file, up to ``PROBLEMS_MAX``."""

    file: str
    found: list[ConfigProblem]
    notes: list[str] = field(default_factory=list[str])  # what is right and not used here, for people

    def note(self, line: int, key: str, message: str) -> None:
        """Something that has no effect, up to ``PROBLEMS_MAX``."""
        text = _sayable(f"{self.file}:{line}: {key}: {message}")
        if text not in self.notes and len(self.notes) < PROBLEMS_MAX:
            self.notes.append(text)

    def add(self, line: int, key: str, message: str, remedy: str) -> None:
        """One more; what several objectives refer to is told once."""
        key, message, remedy = (_sayable(text) for text in (key, message, remedy))
        problem = ConfigProblem(self.file, line, key, message, remedy)
        if problem in self.found or len(self.found) > PROBLEMS_MAX:
            return
        if len(self.found) == PROBLEMS_MAX:
            problem = ConfigProblem(self.file, 0, "(file)", "there are more problems", "Correct these first")
        self.found.append(problem)


def parse(text: str, problems: Problems) -> list["Node"]:
    """The documents of a text. Raises ConfigError where it is no YAML (or JSON, which is YAML but for its tabs)."""
    if len(text.encode()) > TEXT_BYTES_MAX:
        problems.add(0, "(file)", "it is larger than 1 MiB", "Split it up")
        raise ConfigError(problems.found)
    nodes: list[Node] = []
    try:
        for place, document in enumerate(load_documents(_paired(text.replace("\t", " ")))):
            if place == DOCUMENTS_MAX:
                problems.add(0, "(file)", f"it has more than {DOCUMENTS_MAX:,} documents", "Split it up")
                break
            if document is None:
                continue
            if not isinstance(document, CommentedMap):
                problems.add(1, f"document {place + 1}", "it is not a mapping", "Begin it with apiVersion and kind")
            else:
                nodes.append(Node(document, "", problems, _first_line(document)))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        remedy = error.remedy if isinstance(error, RefusedError) else "Look at this line and the one before it"
        problems.add(line, "(syntax)", str(error.problem or "it is not YAML"), remedy)
        raise ConfigError(problems.found) from error
    except (YAMLError, ValueError, RecursionError) as error:
        what = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).split("\n")[0]
        problems.add(0, "(syntax)", what, "The file must be valid YAML or JSON")
        raise ConfigError(problems.found) from error
    return nodes


class Node:
    """One mapping of a document. Getters answer None for what is missing or wrong; what is wrong is written down."""

    def __init__(self, mapping: CommentedMap, key: str, problems: Problems, line: int) -> None:
        self._mapping = mapping
        self.key = key
        self._problems = problems
        self._line = line

    def has(self, name: str) -> bool:
        """Whether the key stands there with a value."""
        return self._mapping.get(name) is not None

    def problem(self, name: str, message: str, remedy: str) -> None:
        """Something is wrong with one of the keys (or, with an empty name, with the whole)."""
        self._problems.add(self.line(name), self.path(name) or "(document)", message, remedy)

    def note(self, name: str, message: str) -> None:
        """One of the keys is right and has no effect here."""
        self._problems.note(self.line(name), self.path(name), message)

    def path(self, name: str) -> str:
        """``spec.objectives.0.target``."""
        return ".".join(part for part in (self.key, name) if part)

    def line(self, name: str) -> int:
        """Where a key stands; where it is missing, the line of the mapping."""
        places = cast("Mapping[str, list[int]] | None", getattr(self._mapping.lc, "data", None)) or {}
        return places[name][0] + 1 if name in places else self._line

    def only(self, known: Collection[str]) -> None:
        """Every other key is a problem: a misspelt one must not be a silent nothing."""
        for name in cast("list[object]", list(self._mapping)):
            if name not in known:
                shown = _text_of(name) or _shown(name)
                near = difflib.get_close_matches(shown, sorted(known), 1)
                remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(known))}"
                self.problem(shown, "there is no such key", remedy)

    def text(self, name: str, *, required: bool = False, max_length: int = 255) -> str | None:
        """A text."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or value != _sayable(value):
            self.problem(name, f"{_shown(value)} is not a text", "Write a text, in quotes if it looks like a number")
            return None
        if len(value) > max_length:
            self.problem(name, f"it has {len(value)} characters", f"Use {max_length} at most")
            return None
        return str(value)

    def number(self, name: str, *, required: bool = False) -> float | None:
        """A number, of a size that a setting may have."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _NUMBER_MAX:
            self.problem(name, f"{_shown(value)} is not a number", "Write a number, e.g. 0.99")
            return None
        return float(value)

    def boolean(self, name: str) -> bool | None:
        """True or false."""
        value = self._value(name, required=False)
        if value is None or isinstance(value, bool):
            return value
        self.problem(name, f"{_shown(value)} is neither true nor false", "Write true or false, without quotes")
        return None

    def duration_s(self, name: str, *, required: bool = False, minutes: bool = False) -> int | None:
        """OpenSLO's duration shorthand in seconds; with ``minutes`` also a plain number of them."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if minutes and isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MINUTES_MAX:
            return value * MINUTE_S
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            remedy = "Write a whole number with m, h, d or w, e.g. 30d"
            if isinstance(value, str) and value[-1:] in "MQY":
                remedy = "Months, quarters and years differ in length: write days, e.g. 30d"
            self.problem(name, f"{_shown(value)} is not a duration that is understood here", remedy)
            return None
        return int(found[1]) * _UNITS_S[found[2]]

    def choice(self, name: str, choices: Collection[str], *, required: bool = False) -> str | None:
        """One of a few words, in any case."""
        value = self.text(name, required=required)
        if value is None:
            return None
        for word in choices:
            if word.lower() == value.lower():
                return word
        self.problem(name, f"{value!r} is not supported", f"Choose one of {', '.join(choices)}")
        return None

    def node(self, name: str, *, required: bool = False) -> "Node | None":
        """A mapping."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if not isinstance(value, CommentedMap):
            self.problem(name, f"{_shown(value)} is not a mapping", "Write keys below it")
            return None
        return Node(value, self.path(name), self._problems, self.line(name))

    def nodes(self, name: str, *, required: bool = False) -> list["Node"]:
        """A list of mappings."""
        value = self._value(name, required=required)
        if value is None:
            return []
        if not isinstance(value, CommentedSeq):
            self.problem(name, f"{_shown(value)} is not a list", "Begin each entry with a dash")
            return []
        found: list[Node] = []
        for place, item in enumerate(cast("list[object]", value)):
            if isinstance(item, CommentedMap):
                found.append(Node(item, self.path(f"{name}.{place}"), self._problems, _first_line(item)))
            else:
                self.problem(name, f"entry {place} is not a mapping", "Write keys below the dash")
        return found

    def texts(self, name: str) -> dict[str, str]:
        """A mapping of texts; numbers and lists of them (a label may have several values) become text."""
        inner = self.node(name)
        if inner is None:
            return {}
        found: dict[str, str] = {}
        for key, value in cast("list[tuple[object, object]]", list(inner._mapping.items())):
            label = _text_of(key)
            items = cast("list[object]", value) if isinstance(value, CommentedSeq) else [value]
            texts = [text for text in map(_text_of, items) if text is not None]
            if label is None:
                inner.problem("", f"the key {_shown(key)} is not a text", "Write a text")
            elif len(texts) < len(items):
                wrong = next(item for item in items if _text_of(item) is None)
                inner.problem(label, f"{_shown(wrong)} is not a text", "Write a text")
            elif any(text != _sayable(text) for text in (label, *texts)):
                inner.problem(label, "it holds half a character", "Write it in UTF-8, without escapes")
            else:
                found[label] = ",".join(texts)
        return found

    def _value(self, name: str, *, required: bool) -> object:
        value = cast("object", self._mapping.get(name))
        if value is None and required:
            self.problem(name, "it is missing", "Add it")
        return value


def _paired(text: str) -> str:
    """JSON escapes a character beyond 16 bits as two halves, which YAML would take for two characters."""
    return _PAIR.sub(lambda pair: f"{pair[1]}{chr(_joined(pair[2], pair[3]))}", text)


def _joined(high: str, low: str) -> int:
    return 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00


def _sayable(text: str) -> str:
    """Without halves of characters, which no answer can carry."""
    return text.encode("utf-8", "replace").decode()


def _first_line(mapping: CommentedMap) -> int:
    return int(mapping.lc.line) + 1


def _text_of(value: object) -> str | None:
    """A scalar as text; None: it is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) >= _INTEGER_MAX:
        return None
    return str(value) if isinstance(value, str | int | float) else None


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    is_scalar = isinstance(value, str | float) or (isinstance(value, int) and abs(value) < _INTEGER_MAX)
    text = repr(value) if is_scalar else type(value).__name__
    return text.replace("CommentedMap", "a mapping").replace("CommentedSeq", "a list")[:80]
