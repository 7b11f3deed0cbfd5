"""Which value a flag has for whom, and why. Used by ``service`` for its own values and for OFREP."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from homeostat.core.errors import BadRequestError, ConfigError, ConfigProblem
from homeostat.core.models import Scalar
from homeostat.flags.definitions import FlagDefinition, FlagKind, FlagSet

if TYPE_CHECKING:
    from openfeature.contrib.tools.flagd.core import FlagdCore
    from openfeature.evaluation_context import EvaluationContextAttribute

Context = Mapping[str, JsonValue]
"""Whom a flag is evaluated for: attributes, and under ``targetingKey`` who it is."""

_UNKNOWN_TARGETING_KEY = "targetingKey must be a text"


class ContextError(BadRequestError):
    """An evaluation context that cannot be used."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer for one flag. ``decided`` False: the caller's own default applies, ``value`` means nothing.

    ``reason`` is OpenFeature's: STATIC, TARGETING_MATCH, DEFAULT, DISABLED or ERROR.
    """

    key: str
    reason: str
    decided: bool = False
    value: JsonValue = None
    variant: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    error_code: str | None = None
    error_details: str = ""


class Evaluator:
    """Evaluates the flags of one set. Raises ConfigError when rules are there and nothing to evaluate them with."""

    def __init__(self, flags: FlagSet) -> None:
        self._core = _core_for(flags) if any(flag.targeted for flag in flags.flags.values()) else None

    def evaluate(self, flag: FlagDefinition, override: bool | None, context: Context) -> Evaluation:
        """The flag's answer. ``override`` is the value it was set to; it decides for everybody.

        Raises ContextError for a ``targetingKey`` that is not a text.
        """
        if not flag.enabled:
            return Evaluation(flag.key, "DISABLED", metadata=flag.metadata)
        if override is not None:
            return _static(flag, flag.variant_of(override), override)
        if flag.targeted and self._core is not None:
            return _by_rule(self._core, flag, context)
        if flag.default_variant is None:
            return Evaluation(flag.key, "DEFAULT", metadata=flag.metadata)
        return _static(flag, flag.default_variant, flag.variants[flag.default_variant])


def _static(flag: FlagDefinition, variant: str, value: JsonValue) -> Evaluation:
    return Evaluation(flag.key, "STATIC", decided=True, value=value, variant=variant, metadata=flag.metadata)


def _core_for(flags: FlagSet) -> "FlagdCore":
    try:
        from openfeature.contrib.tools.flagd.core import FlagdCore  # 50 ms: only where there are rules
    except ImportError as error:
        remedy = "Run `pip install openfeature-flagd-core`, or remove `targeting` from the flags"
        message = "targeting rules need the package openfeature-flagd-core, which is not installed"
        raise ConfigError([ConfigProblem("flags.file", 0, "targeting", message, remedy)]) from error
    core = FlagdCore()
    core.set_flags(json.dumps(flags.document))  # text: the core takes apart what it is given
    return core


def _by_rule(core: "FlagdCore", flag: FlagDefinition, context: Context) -> Evaluation:
    from openfeature.evaluation_context import EvaluationContext  # loaded with the core
    from openfeature.exception import OpenFeatureError

    targeting_key = context.get("targetingKey")
    if targeting_key is not None and not isinstance(targeting_key, str):
        raise ContextError(_UNKNOWN_TARGETING_KEY)
    attributes = {key: value for key, value in context.items() if key != "targetingKey"}
    subject = EvaluationContext(targeting_key, cast("dict[str, EvaluationContextAttribute]", attributes))
    try:
        match flag.kind:
            case FlagKind.BOOLEAN:
                found = core.resolve_boolean_value(flag.key, False, subject)
            case FlagKind.STRING:
                found = core.resolve_string_value(flag.key, "", subject)
            case FlagKind.INTEGER:
                found = core.resolve_integer_value(flag.key, 0, subject)
            case FlagKind.FLOAT:
                found = core.resolve_float_value(flag.key, 0.0, subject)
            case FlagKind.OBJECT:
                found = core.resolve_object_value(flag.key, {}, subject)
    except OpenFeatureError as error:
        return _failed(flag, str(error.error_code), error.error_message or type(error).__name__)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        ReferenceError,
        TypeError,
        ValueError,
    ) as error:
        # What a rule makes of a context that its author did not think of: the interpreter lets Python's errors out.
        return _failed(flag, "GENERAL", f"the targeting rule cannot be evaluated for this context: {error}")
    if found.variant is None:
        return Evaluation(flag.key, "DEFAULT", metadata=flag.metadata)
    return Evaluation(
        flag.key,
        str(found.reason),
        decided=True,
        value=cast("JsonValue", found.value),
        variant=found.variant,
        metadata=flag.metadata,
    )


def _failed(flag: FlagDefinition, code: str, details: str) -> Evaluation:
    return Evaluation(flag.key, "ERROR", metadata=flag.metadata, error_code=code, error_details=details)
