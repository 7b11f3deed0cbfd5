"""Checks targeting rules when they are read. Used by ``reading``.

The language is JSONLogic with flagd's four operations (fractional, starts_with, ends_with, sem_ver). What a rule
means is left to ``openfeature-flagd-core`` (see ``evaluation``), the OpenFeature project's reference implementation,
so that it decides here as it does in flagd. There, an operation that does not exist fails at each evaluation, and an
object with several keys is plain data: the checks here find at start-up what could never decide anything.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pydantic import JsonValue

OPERATIONS = frozenset(
    {
        *("var", "missing", "missing_some", "if", "?:", "==", "===", "!=", "!==", "!", "!!", "or", "and"),
        *(">", ">=", "<", "<=", "max", "min", "+", "-", "*", "/", "%", "map", "filter", "reduce", "all", "none"),
        *("some", "merge", "in", "cat", "substr", "log"),
        *("fractional", "starts_with", "ends_with", "sem_ver"),
    }
)
"""What a rule may use: JSONLogic (https://jsonlogic.com/operations.html) and flagd's own."""

DEPTH_MAX = 64
"""A rule nested deeper is refused: the evaluation recurses."""


class RuleProblem(NamedTuple):
    """One thing wrong with a rule."""

    message: str
    remedy: str


def problems_of_rule(rule: Mapping[str, JsonValue], evaluators: frozenset[str]) -> list[RuleProblem]:
    """What would keep a rule from being evaluated. ``evaluators``: names of the shared rules of the file."""
    return list(_walk(dict(rule), evaluators, DEPTH_MAX)) if rule else []


def _walk(node: JsonValue, evaluators: frozenset[str], depth: int) -> Iterator[RuleProblem]:
    if depth == 0:
        yield RuleProblem(
            f"the rule is nested deeper than {DEPTH_MAX}", "Split it with `$evaluators`, or simplify it"
        )
        return
    if isinstance(node, dict):
        yield from _operation(node, evaluators)
        for argument in node.values():
            yield from _walk(argument, evaluators, depth - 1)
    elif isinstance(node, list):
        for item in node:
            yield from _walk(item, evaluators, depth - 1)


def _operation(node: dict[str, JsonValue], evaluators: frozenset[str]) -> Iterator[RuleProblem]:
    if len(node) != 1:
        yield RuleProblem(
            f"an operation has exactly one name, this one has {sorted(node)}", "Wrap each operation in its own {}"
        )
        return
    name, argument = next(iter(node.items()))
    if name == "$ref":
        if argument not in evaluators:
            yield RuleProblem(f"$ref names {argument!r}, which `$evaluators` does not define", "Define it there")
    elif name not in OPERATIONS:
        yield RuleProblem(f"{name!r} is not an operation", f"Use one of {', '.join(sorted(OPERATIONS))}")
