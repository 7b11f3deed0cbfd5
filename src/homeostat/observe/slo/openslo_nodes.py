"""Reads typed values out of an OpenSLO document and collects what is wrong, with file, line, key and remedy."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from homeostat.core.errors import ConfigError, ConfigProblem
from homeostat.observe.slo.windows import DAY_S, HOUR_S, MINUTE_S

DOCUMENTS_MAX: Final = 1_000
TEXT_BYTES_MAX: Final = 1024 * 1024

_UNITS_S: Final = {"m": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}
_PAIR: Final = re.compile(r"((?<!\\)(?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhdw])")


@dataclass(slots=True)
class Problems:
    """Everything wrong in one file."""

    file: str
    found: list[ConfigProblem]

    def add(self, line: int, key: str, message: str, remedy: str) -> None:
        """One more."""
        texts = (_sayable(text) for text in (key, message, remedy))
        self.found.append(ConfigProblem(self.file, line, *texts))


def parse(text: str, problems: Problems) -> list["Node"]:
    """The documents of a text. Raises ConfigError where it is no YAML (or JSON, which is YAML but for its tabs)."""
    if len(text.encode()) > TEXT_BYTES_MAX:
        problems.add(0, "(file)", "it is larger than 1 MiB", "Split it up")
        raise ConfigError(problems.found)
    nodes: list[Node] = []
    try:
        for place, document in enumerate(YAML(typ="rt").load_all(_paired(text.replace("\t", " ")))):
            if document is None:
                continue
            if not isinstance(document, CommentedMap):
                problems.add(1, f"document {place + 1}", "it is not a mapping", "Begin it with apiVersion and kind")
            elif len(nodes) < DOCUMENTS_MAX:
                nodes.append(Node(document, "", problems, _first_line(document)))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problems.add(
            line, "(syntax)", str(error.problem or "it is not YAML"), "Look at this line and the one before it"
        )
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
                near = difflib.get_close_matches(str(name), sorted(known), 1)
                remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(known))}"
                self.problem(str(name), "there is no such key", remedy)

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
        """A finite number."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
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
        if minutes and isinstance(value, int) and not isinstance(value, bool) and value > 0:
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
        """A mapping of texts; numbers and lists (a label may have several values) become text."""
        inner = self.node(name)
        if inner is None:
            return {}
        found: dict[str, str] = {}
        for key, value in cast("list[tuple[object, object]]", list(inner._mapping.items())):
            if _sayable(f"{key}{value}") != f"{key}{value}":
                inner.problem(str(key), "it holds half a character", "Write it in UTF-8, without escapes")
            elif isinstance(value, CommentedSeq):
                found[str(key)] = ",".join(map(str, cast("list[object]", value)))
            elif isinstance(value, str | int | float):
                found[str(key)] = str(value).lower() if isinstance(value, bool) else str(value)
            else:
                inner.problem(str(key), f"{_shown(value)} is not a text", "Write a text")
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


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool) else type(value).__name__
    return text.replace("CommentedMap", "a mapping").replace("CommentedSeq", "a list")[:80]
