"""Conditions of a question as SQL with bound parameters. Used by ``spans``, ``metrics`` and ``logs``."""

from collections.abc import Iterable
from typing import Final

from homeostat.store.clickhouse.engine import Value

_LATEST_NS: Final = 2**63 - 1


class Conditions:
    """A conjunction that grows. Only constants of this package become SQL text; values are parameters."""

    def __init__(self) -> None:
        self._clauses: list[str] = []
        self.parameters: dict[str, Value] = {}

    def add(self, clause: str, **parameters: Value) -> None:
        """One more condition, with the values of the ``{name:Type}`` in it."""
        self._clauses.append(clause)
        self.parameters |= parameters

    def between(self, column: str, start_ns: int, end_ns: int) -> None:
        """A time in ``[start_ns, end_ns)``, Unix ns."""
        self.add(
            f"{column} >= fromUnixTimestamp64Nano({{start:Int64}}, 'UTC')", start=min(max(start_ns, 0), _LATEST_NS)
        )
        if end_ns < _LATEST_NS:
            self.add(f"{column} < fromUnixTimestamp64Nano({{end:Int64}}, 'UTC')", end=max(end_ns, 0))

    def attribute(self, number: int, columns: Iterable[str], key: str, value: str) -> None:
        """One of the maps has the pair. The first two tests of each are those that its bloom filters answer."""
        key_name, value_name = f"key{number}", f"value{number}"
        tests = [
            f"(mapContains({column}, {{{key_name}:String}}) AND has(mapValues({column}), {{{value_name}:String}}) "
            f"AND arrayExists((k, v) -> k = {{{key_name}:String}} AND v = {{{value_name}:String}}, "
            f"mapKeys({column}), mapValues({column})))"
            for column in columns
        ]
        self.add(f"({' OR '.join(tests)})", **{key_name: key, value_name: value})

    @property
    def sql(self) -> str:
        """What stands behind WHERE."""
        return "\n  AND ".join(self._clauses) or "1"


def contains(text: str, parameter: str = "text") -> str:
    """A text (an expression) holds the parameter, case-insensitive."""
    return f"positionCaseInsensitiveUTF8({text}, {{{parameter}:String}}) > 0"


def any_contains(texts: str, parameter: str = "text") -> str:
    """One of an array of texts holds the parameter."""
    return f"arrayExists(x -> {contains('x', parameter)}, {texts})"
