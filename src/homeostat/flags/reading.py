"""Reads flagd definitions, JSON or YAML: all problems at once, each with line, key and remedy. Used at start-up."""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from pydantic import JsonValue
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from homeostat.core.errors import ConfigError, ConfigProblem
from homeostat.core.models import Scalar
from homeostat.flags.definitions import FlagDefinition, FlagKind, FlagSet, kind_of
from homeostat.flags.targeting import problems_of_rule

Place = tuple[str, ...]
JsonObject = dict[str, JsonValue]

_TOP_KEYS = ("flags", "metadata", "$evaluators", "$schema")
_FLAG_KEYS = ("state", "variants", "defaultVariant", "targeting", "metadata")
_STATES = ("ENABLED", "DISABLED")


def load_flags(path: Path) -> FlagSet:
    """Read a definitions file. Raises ConfigError with every problem found."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        remedy = "Name an existing flagd definitions file in flags.file, or leave it out for the built-in flags"
        raise ConfigError([ConfigProblem(str(path), 0, "(file)", reason, remedy)]) from error
    return read_flags(text, str(path))


def read_flags(text: str, name: str) -> FlagSet:
    """Definitions from the text of a file called ``name``. Raises ConfigError with every problem found."""
    reader = _Reader(name, *_parse(text, name))
    flags = reader.read()
    if reader.problems:
        raise ConfigError(reader.problems)
    return flags


def _parse(text: str, name: str) -> tuple[JsonValue, object]:
    """The document, and the same one with its line numbers."""
    try:
        if name.endswith((".yaml", ".yml")):
            marked = _parse_yaml(text, name)
            return _plain(marked), marked
        return _parse_json(text, name), _lines_of_json(text, name)
    except RecursionError as error:
        remedy = "Split it up with `$evaluators`, or simplify it"
        raise ConfigError([ConfigProblem(name, 0, "(syntax)", "it is nested too deeply", remedy)]) from error


def _parse_json(text: str, name: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(text))
    except json.JSONDecodeError as error:
        remedy = "The file must be valid JSON: look at this line and the one before it"
        raise ConfigError([ConfigProblem(name, error.lineno, "(syntax)", error.msg, remedy)]) from error


def _lines_of_json(text: str, name: str) -> object:
    """The same document with line numbers; None where JSON has something that YAML has not.

    Raises ConfigError for a key that stands twice, of which JSON would drop the first without a word.
    """
    try:
        # Tabs are the usual difference. JSON allows them between tokens only: replacing them changes no value.
        return cast("object", YAML(typ="rt").load(text.replace("\t", " ")))
    except DuplicateKeyError as error:
        raise ConfigError([_syntax_problem(error, name)]) from error
    except YAMLError:
        return None


def _parse_yaml(text: str, name: str) -> object:
    try:
        return cast("object", YAML(typ="rt").load(text))
    except YAMLError as error:
        raise ConfigError([_syntax_problem(error, name)]) from error


def _syntax_problem(error: YAMLError, name: str) -> ConfigProblem:
    if isinstance(error, MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        message = str(error.problem or "not valid YAML").strip().splitlines()[0]
        return ConfigProblem(name, line, "(syntax)", message, "Correct this line")
    return ConfigProblem(name, 0, "(syntax)", str(error).strip().splitlines()[0], "The file must be valid YAML")


def _plain(node: object) -> JsonValue:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if node is None or isinstance(node, bool | int | float):
        return node
    return str(node)


@dataclass
class _Reader:
    """Walks the document once and collects what is wrong with it."""

    name: str
    document: JsonValue
    marked: object
    problems: list[ConfigProblem] = field(default_factory=list[ConfigProblem])

    def read(self) -> FlagSet:
        if not isinstance(self.document, dict):
            self._complain((), "the file is not an object", 'Write {"flags": {...}}')
            return FlagSet({}, {})
        self._check_keys((), self.document, _TOP_KEYS)
        shared = self._metadata(("metadata",), self.document.get("metadata"))
        evaluators = self._object(("$evaluators",), self.document.get("$evaluators"))
        entries = self.document.get("flags")
        if not isinstance(entries, dict) or not entries:
            self._complain(("flags",), "there are no flags", "Define at least one flag as an object under `flags`")
            return FlagSet({}, {})
        flags = {key: self._flag(key, entry, shared, evaluators) for key, entry in entries.items()}
        return FlagSet({key: flag for key, flag in flags.items() if flag is not None}, self.document)

    def _flag(
        self, key: str, entry: JsonValue, shared: Mapping[str, Scalar], evaluators: JsonObject
    ) -> FlagDefinition | None:
        place = ("flags", key)
        if not isinstance(entry, dict):
            self._complain(place, "a flag must be an object", "Give it `state`, `variants` and `defaultVariant`")
            return None
        self._check_keys(place, entry, _FLAG_KEYS)
        state = entry.get("state")
        if state not in _STATES:
            self._complain((*place, "state"), f"{state!r} is no state", "Use ENABLED or DISABLED")
        variants = self._object((*place, "variants"), entry.get("variants"))
        kind = self._kind((*place, "variants"), variants)
        targeting = self._object((*place, "targeting"), entry.get("targeting"))
        for problem in problems_of_rule(targeting, frozenset(evaluators)):
            self._complain((*place, "targeting"), problem.message, problem.remedy)
        return FlagDefinition(
            key=key,
            enabled=state == "ENABLED",
            kind=kind,
            variants=variants,
            default_variant=self._default((*place, "defaultVariant"), entry.get("defaultVariant"), variants),
            targeted=bool(targeting),
            metadata={**shared, **self._metadata((*place, "metadata"), entry.get("metadata"))},
        )

    def _kind(self, place: Place, variants: JsonObject) -> FlagKind:
        for name, value in variants.items():
            if not _finite(value):
                self._complain((*place, name), "not a finite number", "JSON has no NaN and no Infinity: use a number")
        kind = kind_of(list(variants.values()))
        if kind is None:
            if variants:
                self._complain(place, "the variants are of different types", "Give all variants values of one type")
            else:
                self._complain(place, "there are no variants", 'Write for example {"on": true, "off": false}')
            return FlagKind.OBJECT
        return kind

    def _default(self, place: Place, name: JsonValue, variants: JsonObject) -> str | None:
        if name is None or name == "":
            return None
        key = str(name).lower() if isinstance(name, bool) else name
        if isinstance(key, str) and key in variants:
            return key
        self._complain(place, f"{name!r} is not one of the variants", f"Use one of {', '.join(variants) or 'them'}")
        return None

    def _metadata(self, place: Place, value: JsonValue) -> dict[str, Scalar]:
        metadata: dict[str, Scalar] = {}
        for key, item in self._object(place, value).items():
            if isinstance(item, bool | int | float | str):
                metadata[key] = item
            else:
                self._complain((*place, key), "metadata must be text, number or boolean", "Use a simple value")
        return metadata

    def _object(self, place: Place, value: JsonValue) -> JsonObject:
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self._complain(place, f"{value!r} is not an object", "Write it as {...}")
        return {}

    def _check_keys(self, place: Place, value: JsonObject, known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                remedy = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}"
                self._complain((*place, key), "unknown key", remedy)

    def _complain(self, place: Place, message: str, remedy: str) -> None:
        key = ".".join(place) or "(top)"
        self.problems.append(ConfigProblem(self.name, _line(self.marked, place), key, message, remedy))


def _finite(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _line(node: object, place: Place) -> int:
    """Line of the deepest part of ``place`` that exists, from 1; 0 where it cannot be told."""
    line = 0 if node is None else 1
    for part in place:
        if not isinstance(node, CommentedMap) or part not in node:
            break
        line = cast("int", node.lc.key(part)[0]) + 1
        node = cast("object", node[part])
    return line
