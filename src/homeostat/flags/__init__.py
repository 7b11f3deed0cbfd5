"""Feature flags: definitions in flagd's JSON, evaluation, audited changes. ``app`` wires ``FlagService``."""

from homeostat.flags.definitions import FlagDefinition, FlagSet, built_in_flags
from homeostat.flags.evaluation import ContextError, Evaluation
from homeostat.flags.events import DynatraceTarget, EventResult, RemediationType
from homeostat.flags.reading import load_flags
from homeostat.flags.service import FlagOutcome, FlagService, as_ofrep

__all__ = [
    "ContextError",
    "DynatraceTarget",
    "Evaluation",
    "EventResult",
    "FlagDefinition",
    "FlagOutcome",
    "FlagService",
    "FlagSet",
    "RemediationType",
    "as_ofrep",
    "built_in_flags",
    "load_flags",
]
