"""Which traces are kept: the configuration of tail sampling, and what a decision is.

The policies have the names and keys of the OpenTelemetry Collector's tail_sampling processor, so that its
configuration can be taken over as it is. ``observe.sampling`` decides by them; ``core.config`` holds them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Literal, TypeVar, cast

from pydantic import AfterValidator, AliasChoices, Field, field_validator, model_validator

from homeostat.core.settings import Duration, Section

CRITICAL_ENDPOINTS: Final = ("/api/deploy", "/api/backup", "/api/security")
ENDPOINT_KEYS: Final = ("url.path", "http.target", "http.route")
QUIET: Final = "quiet"
"""The reason of what is kept because there is so little."""

DECISION_FAILED: Final = "decision_failed"
"""The reason of what is kept because the policies could not decide."""

POLICIES_MAX: Final = 200

SPAN_POLICIES_MAX: Final = 64
"""Policies that look at single spans: each is one bit of what is remembered of a trace."""

_SPAN_TYPES: Final = frozenset(
    {"status_code", "string_attribute", "numeric_attribute", "boolean_attribute", "trace_state", "trace_flags"}
    | {"endpoint"}
)
_WITHOUT_SETTINGS: Final = frozenset({"always_sample", "trace_flags"})
_BEYOND_RE2: Final = re.compile(r"\(\?(?:=|!|<=|<!|P=)|\\[1-9]")

CEL_VARIABLES: Final = (
    *("name", "service", "kind", "status", "status_message", "duration_ms", "root", "trace_state"),
    *("attributes", "resource"),
)
"""What a cel expression can ask of a span: texts, ``duration_ms`` (float), ``root`` (bool) and two maps of texts."""

_CEL_MACRO: Final = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*(\w+)\s*,")

T = TypeVar("T")


def _some(values: tuple[T, ...]) -> tuple[T, ...]:
    if not values:
        raise ValueError("the list is empty: name at least one")
    return values


Some = Annotated[tuple[T, ...], AfterValidator(_some)]
"""A list with something in it."""


@dataclass(frozen=True, slots=True)
class SamplingDecision:
    """What became of a trace: kept or not, with which probability, by which policy."""

    keep: bool
    rate: float  # each such trace stands for 1 / rate; of one that was not kept: 0
    reason: str  # the policy's name; ``quiet``; empty for what no policy kept


class LatencySettings(Section):
    """By the trace's duration: from its earliest start to its latest end."""

    threshold_ms: float = Field(ge=0)  # at least
    upper_threshold_ms: float = Field(default=0, ge=0)  # then: above threshold_ms and up to this; 0: no bound

    @model_validator(mode="after")
    def _ordered(self) -> "LatencySettings":
        if 0 < self.upper_threshold_ms <= self.threshold_ms:
            raise ValueError("upper_threshold_ms is not above threshold_ms: no trace could match. Swap them")
        return self


class NumericAttributeSettings(Section):
    """By a number in an attribute of a span or its resource, bounds included."""

    key: str = Field(min_length=1)
    min_value: float | None = None
    max_value: float | None = None
    invert_match: bool = False

    @model_validator(mode="after")
    def _bounded(self) -> "NumericAttributeSettings":
        if self.min_value is None and self.max_value is None:
            raise ValueError("give min_value, max_value or both: without them any number would match")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError("min_value is above max_value: no number could match. Swap them")
        return self


class ProbabilisticSettings(Section):
    """A share of all traces. With a salt the same traces wherever the same salt is used."""

    hash_salt: str = ""
    sampling_percentage: float = Field(ge=0, le=100)


class StatusCodeSettings(Section):
    """By the status of a span."""

    status_codes: Some[Literal["OK", "ERROR", "UNSET"]]


class StringAttributeSettings(Section):
    """By the text in an attribute of a span or its resource: one of the values, or matched by one."""

    key: str = Field(min_length=1)
    values: Some[str]
    enabled_regex_matching: bool = False
    cache_max_size: int = Field(default=0, ge=0)  # taken and not needed: each distinct value is matched once a batch
    invert_match: bool = False

    @model_validator(mode="after")
    def _expressions(self) -> "StringAttributeSettings":
        for value in self.values if self.enabled_regex_matching else ():
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{value!r} is no regular expression: {error}") from error
            if _BEYOND_RE2.search(value):
                raise ValueError(
                    f"{value!r} looks ahead, behind or back, which RE2 (the collector's syntax) does not know. "
                    "Write it without, or as a cel policy"
                )
        return self


class TraceStateSettings(Section):
    """By an entry of the W3C trace state of a span."""

    key: str = Field(min_length=1)
    values: Some[str]


class RateLimitingSettings(Section):
    """So many spans a second, whole traces, first come."""

    spans_per_second: int = Field(gt=0)


class BytesLimitingSettings(Section):
    """So many bytes a second on average: a token bucket."""

    bytes_per_second: int = Field(gt=0)
    burst_capacity: int | None = Field(default=None, gt=0)  # default: twice bytes_per_second

    @property
    def burst(self) -> int:
        """What the bucket holds."""
        return self.burst_capacity or 2 * self.bytes_per_second


class SpanCountSettings(Section):
    """By the number of spans, bounds included."""

    min_spans: int = Field(default=0, ge=0)
    max_spans: int = Field(default=0, ge=0)  # 0: no bound

    @model_validator(mode="after")
    def _ordered(self) -> "SpanCountSettings":
        if 0 < self.max_spans < self.min_spans:
            raise ValueError("max_spans is below min_spans: no trace could match. Swap them")
        return self


class BooleanAttributeSettings(Section):
    """By a truth value in an attribute of a span or its resource."""

    key: str = Field(min_length=1)
    value: bool
    invert_match: bool = False


class CelSettings(Section):
    """By a CEL expression over one span; a trace matches when one of its spans does."""

    expression: str = Field(min_length=1, max_length=4096)

    @field_validator("expression")
    @classmethod
    def _compiles(cls, expression: str) -> str:
        import cel

        try:
            program = cel.compile(expression)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"it is no CEL expression: {reason}") from error
        own = set(_CEL_MACRO.findall(expression))  # attributes.exists(key, …) brings a variable of its own
        if unknown := sorted(set(program.variables()) - set(CEL_VARIABLES) - own):
            raise ValueError(f"a span has no {unknown[0]!r}. Known: {', '.join(CEL_VARIABLES)}")
        return expression


class EndpointSettings(Section):
    """By the path that was asked for: in these attributes of a span or in its name."""

    paths: Some[str]  # each with everything below it
    keys: tuple[str, ...] = ENDPOINT_KEYS

    @field_validator("paths")
    @classmethod
    def _rooted(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return _rooted(paths)


def _rooted(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        if not path.startswith("/") or not path.strip("/"):
            raise ValueError(f"{path!r} is no path: write it from the root, as /api/deploy")
    return paths


class SubPolicy(Section):
    """A policy inside another: everything that looks at a trace by itself."""

    name: str = Field(min_length=1, max_length=200)
    type: str
    latency: LatencySettings | None = None
    numeric_attribute: NumericAttributeSettings | None = None
    probabilistic: ProbabilisticSettings | None = None
    status_code: StatusCodeSettings | None = None
    string_attribute: StringAttributeSettings | None = None
    trace_state: TraceStateSettings | None = None
    rate_limiting: RateLimitingSettings | None = None
    bytes_limiting: BytesLimitingSettings | None = None
    span_count: SpanCountSettings | None = None
    boolean_attribute: BooleanAttributeSettings | None = None
    cel: CelSettings | None = None
    endpoint: EndpointSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_known_type(cls, given: object) -> object:
        fields = cast("dict[str, object]", given) if isinstance(given, dict) else {}
        kind = fields.get("type")
        if kind == "ottl_condition" or "ottl_condition" in fields:
            raise ValueError(
                "ottl_condition is not supported: write the condition in CEL, as "
                "{name: …, type: cel, cel: {expression: \"attributes['key'] == 'value'\"}}"
            )
        if isinstance(kind, str) and kind not in (known := sorted({*cls.kinds(), *_WITHOUT_SETTINGS})):
            raise ValueError(f"there is no policy type {kind!r} here. Known: {', '.join(known)}")
        return given

    @model_validator(mode="after")
    def _settings_of_the_type(self) -> "SubPolicy":
        given = {kind for kind in self.kinds() if self.settings(kind) is not None}
        needed = {self.type} - _WITHOUT_SETTINGS
        if missing := needed - given:
            raise ValueError(f"a policy of type {self.type} needs the key {missing.pop()!r} with its settings")
        if extra := sorted(given - needed):
            raise ValueError(f"the type is {self.type}, but there are settings for {', '.join(extra)}. Remove them")
        return self

    @classmethod
    def kinds(cls) -> list[str]:
        """The types that have settings."""
        return [field.alias or name for name, field in cls.model_fields.items() if name not in _COMMON]

    def settings(self, kind: str) -> Section | None:
        """What stands under a type's key."""
        return getattr(self, _ATTRIBUTE.get(kind, kind), None)

    def parts(self) -> Sequence["SubPolicy"]:
        """The policies inside this one."""
        return ()

    def walk(self) -> Iterator["SubPolicy"]:
        """This policy and all inside it."""
        yield self
        for part in self.parts():
            yield from part.walk()


_COMMON: Final = frozenset({"name", "type"})
_ATTRIBUTE: Final = {"and": "and_", "not": "not_"}


class AndSettings(Section):
    """All of them."""

    and_sub_policy: Some[SubPolicy]


class CompositeSubPolicy(SubPolicy):
    """A policy inside a composite one."""

    and_: AndSettings | None = Field(default=None, alias="and")

    def parts(self) -> Sequence[SubPolicy]:
        """The policies inside this one."""
        return self.and_.and_sub_policy if self.and_ else ()


class NotSettings(Section):
    """The opposite."""

    not_sub_policy: SubPolicy


class DropSettings(Section):
    """When all of them match the trace is not kept, whatever the other policies say."""

    drop_sub_policy: Some[SubPolicy]


class RateAllocation(Section):
    """A part of a composite policy's spans a second."""

    policy: str
    percent: float = Field(ge=0, le=100)  # 0: an equal part


class CompositeSettings(Section):
    """Policies in order, each with its part of the spans a second; one without takes what is left."""

    max_total_spans_per_second: int = Field(gt=0)
    policy_order: tuple[str, ...] = ()
    composite_sub_policy: Some[CompositeSubPolicy]
    rate_allocation: tuple[RateAllocation, ...] = ()

    @model_validator(mode="after")
    def _names(self) -> "CompositeSettings":
        names = [part.name for part in self.composite_sub_policy]
        if len(set(names)) < len(names):
            raise ValueError("two policies in composite_sub_policy have one name. Give each a name of its own")
        for where, named in (
            ("policy_order", list(self.policy_order)),
            ("rate_allocation", [part.policy for part in self.rate_allocation]),
        ):
            unknown = [name for name in named if name not in names]
            if unknown:
                raise ValueError(f"{where} names {unknown[0]!r}, which is not in composite_sub_policy")
            if len(set(named)) < len(named):
                raise ValueError(f"{where} names a policy twice. Remove one")
        if sum(part.percent for part in self.rate_allocation) > 100:
            raise ValueError("rate_allocation gives away more than 100 percent. Lower one")
        return self

    def ordered(self) -> tuple[CompositeSubPolicy, ...]:
        """As ``policy_order`` has them, those that it does not name behind."""
        order = {name: place for place, name in enumerate(self.policy_order)}
        return tuple(sorted(self.composite_sub_policy, key=lambda part: order.get(part.name, len(order))))


class Policy(CompositeSubPolicy):
    """One sampling policy."""

    not_: NotSettings | None = Field(default=None, alias="not")
    drop: DropSettings | None = None
    composite: CompositeSettings | None = None

    def parts(self) -> Sequence[SubPolicy]:
        """The policies inside this one."""
        if self.not_:
            return (self.not_.not_sub_policy,)
        if self.drop:
            return self.drop.drop_sub_policy
        return self.composite.composite_sub_policy if self.composite else super().parts()


class DecisionCacheConfig(Section):
    """For how many traces it is remembered what was decided: late spans then go the same way."""

    sampled_cache_size: int = Field(default=200_000, ge=1000, le=50_000_000)
    non_sampled_cache_size: int = Field(default=800_000, ge=1000, le=50_000_000)


class SamplingConfig(Section):
    """Which traces are kept. Every trace counts in RED, topology and SLOs, kept or not."""

    enabled: bool = True
    decide_after_root: Duration = Field(  # after the root span has come; the others have this long to follow
        default=timedelta(seconds=1),
        validation_alias=AliasChoices("decide_after_root", "decision_wait_after_root_received"),
    )
    decision_wait: Duration = timedelta(seconds=30)  # after the first span, when no root comes
    max_pending_mib: int = Field(default=128, ge=1, le=65536)  # of undecided spans; beyond, the oldest are decided
    num_traces: int = Field(default=200_000, ge=1, le=10_000_000)  # undecided; beyond, the oldest are decided
    expected_new_traces_per_sec: int = Field(default=0, ge=0, le=10_000_000)  # room made for them at the start
    decision_cache: DecisionCacheConfig = DecisionCacheConfig()
    sample_on_first_match: bool = False
    quiet_traces_per_second: float = Field(default=2.0, ge=0)  # with fewer than these, all are kept; 0: never
    critical_endpoints: tuple[str, ...] = CRITICAL_ENDPOINTS  # kept by the built-in policies
    sampling_percentage: float = Field(default=10.0, ge=0, le=100)  # of the rest, by the built-in policies
    policies: Some[Policy] | None = None  # None: the built-in ones

    @field_validator("critical_endpoints")
    @classmethod
    def _paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        return _rooted(paths)

    @model_validator(mode="before")
    @classmethod
    def _not_ours(cls, given: object) -> object:
        fields = cast("dict[str, object]", given) if isinstance(given, dict) else {}
        for key, why in _NOT_OURS.items():
            if key in fields:
                raise ValueError(f"{key} is the collector's and means nothing here: {why}. Remove it")
        return given

    @model_validator(mode="after")
    def _policies_fit(self) -> "SamplingConfig":
        if self.policies is None:
            return self
        for name in ("critical_endpoints", "sampling_percentage"):
            if name in self.model_fields_set:
                kind = "an endpoint" if name == "critical_endpoints" else "a probabilistic"
                raise ValueError(f"{name} belongs to the built-in policies: with policies given, add {kind} policy")
        if len(self.policies) > POLICIES_MAX:
            raise ValueError(f"{len(self.policies)} policies; {POLICIES_MAX} is the most. Merge some")
        names = [policy.name for policy in self.policies]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two policies are named {twice[0]!r}. Give each a name of its own")
        if QUIET in names:
            raise ValueError(f"{QUIET!r} names what quiet_traces_per_second keeps. Choose another name")
        looking = sum(part.type in _SPAN_TYPES for policy in self.policies for part in policy.walk())
        if looking > SPAN_POLICIES_MAX:
            raise ValueError(f"{looking} policies look at spans; {SPAN_POLICIES_MAX} is the most. Merge some")
        return self

    @property
    def effective_policies(self) -> tuple[Policy, ...]:
        """Those of the configuration, else the built-in ones."""
        if self.policies is not None:
            return self.policies
        return default_policies(self.critical_endpoints, self.sampling_percentage)


_NOT_OURS: Final = {
    "block_on_overflow": "above num_traces or max_pending_mib the oldest traces are decided, none is lost",
    "drop_pending_traces_on_shutdown": "undecided traces are in the write-ahead log and decided after the next start",
    "maximum_trace_size_bytes": "memory is bounded by max_pending_mib, and no trace is dropped for its size",
}


def default_policies(critical_endpoints: tuple[str, ...], percentage: float) -> tuple[Policy, ...]:
    """Errors, slow traces and critical endpoints all; of the rest a percentage."""
    given: list[dict[str, object]] = [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        *(_http_errors(key) for key in ("http.response.status_code", "http.status_code")),
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
    ]
    if critical_endpoints:
        given.append({"name": "critical endpoints", "type": "endpoint", "endpoint": {"paths": critical_endpoints}})
    given.append({"name": "rest", "type": "probabilistic", "probabilistic": {"sampling_percentage": percentage}})
    return tuple(Policy.model_validate(policy) for policy in given)


def _http_errors(key: str) -> dict[str, object]:
    return {
        "name": f"errors ({key})",
        "type": "numeric_attribute",
        "numeric_attribute": {"key": key, "min_value": 400},
    }
