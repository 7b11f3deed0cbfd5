"""What a flag is: the definitions that the service evaluates. ``reading`` makes them from a file.

The format is flagd's (https://flagd.dev/reference/flag-definitions/), so that definitions can move between the two.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources

from pydantic import JsonValue

from homeostat.core.models import Scalar


class FlagKind(StrEnum):
    """Type of all variants of a flag."""

    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER = "integer"
    FLOAT = "float"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class FlagDefinition:
    """One flag. ``default_variant`` None: where no rule decides, the code's own default applies."""

    key: str
    enabled: bool
    kind: FlagKind
    variants: Mapping[str, JsonValue]
    default_variant: str | None
    targeted: bool
    metadata: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])

    @property
    def description(self) -> str:
        """``metadata.description``, or nothing."""
        return str(self.metadata.get("description") or "")

    @property
    def switchable(self) -> bool:
        """Whether it has a boolean value that a person or healing may change."""
        return self.enabled and self.kind is FlagKind.BOOLEAN

    def variant_of(self, value: bool) -> str:
        """Name of the variant with this value; where there is none, ``true`` or ``false``."""
        for name, variant in self.variants.items():
            if variant is value:
                return name
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class FlagSet:
    """Every definition of one file. ``document`` is the file itself, for the evaluation of targeting rules."""

    flags: Mapping[str, FlagDefinition]
    document: Mapping[str, JsonValue]

    @property
    def digest(self) -> str:
        """SHA-256 of the document: changes when a definition does."""
        return hashlib.sha256(json.dumps(self.document, sort_keys=True).encode()).hexdigest()

    @property
    def switchable(self) -> tuple[str, ...]:
        """Keys of the flags that may be changed, in the order of the file."""
        return tuple(key for key, flag in self.flags.items() if flag.switchable)


def kind_of(values: list[JsonValue]) -> FlagKind | None:
    """The one type of all ``values``; None where they differ. Integers beside floats are floats."""
    kinds = {_kind(value) for value in values}
    if kinds == {FlagKind.INTEGER, FlagKind.FLOAT}:
        return FlagKind.FLOAT
    return kinds.pop() if len(kinds) == 1 else None


def _kind(value: JsonValue) -> FlagKind | None:
    if isinstance(value, bool):
        return FlagKind.BOOLEAN
    if isinstance(value, str):
        return FlagKind.STRING
    if isinstance(value, int):
        return FlagKind.INTEGER
    if isinstance(value, float):
        return FlagKind.FLOAT
    return FlagKind.OBJECT if isinstance(value, dict | list) else None


def built_in_text() -> str:
    """The five flags of the contract, as flagd JSON."""
    return resources.files("homeostat.flags").joinpath("builtin.flagd.json").read_text(encoding="utf-8")


def built_in_flags() -> FlagSet:
    """The five flags of the contract, with its defaults."""
    from homeostat.flags.reading import read_flags  # reading builds on this module

    return read_flags(built_in_text(), "builtin.flagd.json")
