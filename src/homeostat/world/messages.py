"""What the processes of the world say to each other: one request per step, one result per step. JSON on the wire.

Plain dataclasses and not pydantic models: a service handles hundreds of these a second, and its peers are our own
processes. What comes from people enters through ``journey_api``, which validates.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import cast

from homeostat.core.errors import BadRequestError
from homeostat.world.customers import ErrorHint

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a journey with the place where it is served."""

    step: str
    slug: str
    service: str
    port: int
    hint: ErrorHint | None = None


@dataclass(frozen=True, slots=True)
class StepRequest:
    """A customer or the service before asks for step ``number``; ``hops`` are this step and all after it."""

    journey_id: str
    chance_key: str  # what the seeded decisions of this journey follow from
    journey_name: str
    customer_id: str
    customer: str
    company: str
    number: int  # of this step, from 1
    steps_total: int
    budget_ms: int  # whoever waits for the answer gives up after this time
    hops: tuple[Hop, ...]
    errors_simulated: bool = True
    chained: bool = True

    def onward(self, budget_ms: int) -> "StepRequest":
        """The request for the next step."""
        return StepRequest(
            self.journey_id,
            self.chance_key,
            self.journey_name,
            self.customer_id,
            self.customer,
            self.company,
            self.number + 1,
            self.steps_total,
            budget_ms,
            self.hops[1:],
            self.errors_simulated,
            self.chained,
        )

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decode(cls, body: bytes) -> "StepRequest":
        """From JSON. Raises BadRequestError when it is not such a request."""
        try:
            raw = cast(JsonObject, json.loads(body))
            hops = tuple(_hop(item) for item in cast(list[JsonObject], raw.pop("hops")))
            _check_types(raw, _REQUEST_TYPES)
            request = cls(**raw, hops=hops)  # pyright: ignore[reportArgumentType]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadRequestError(f"This is not a step of a journey: {error}. Use the journey API.") from None
        if not request.hops or min(request.number, request.budget_ms) < 1:
            raise BadRequestError("A step needs a number, a budget in milliseconds and a place where it is served.")
        return request


_REQUEST_TYPES = {item.name: getattr(item.type, "__name__", "") for item in fields(StepRequest)}
_HOP_TYPES = {item.name: getattr(item.type, "__name__", "") for item in fields(Hop)}


def _check_types(raw: JsonObject, wanted: dict[str, str]) -> None:
    """Raises TypeError naming the first value of another type than its field's."""
    for name, value in raw.items():
        expected, found = wanted.get(name), type(value).__name__
        if expected in {"str", "int", "bool"} and found != expected:
            raise TypeError(f"{name} is {found}, not {expected}")


def _hop(raw: JsonObject) -> Hop:
    hint = raw.pop("hint", None)
    _check_types(raw, _HOP_TYPES)
    return Hop(**raw, hint=ErrorHint(**cast(JsonObject, hint)) if hint else None)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step. ``http_status`` is the step's own; ``answered_status`` what its caller saw."""

    number: int
    step: str
    service: str
    completed: bool
    http_status: int
    answered_status: int
    duration_ms: float
    cache: str | None = None  # hit | miss | off, for steps that read
    error: dict[str, str | int | bool] = field(default_factory=dict)


def encode_results(results: tuple[StepResult, ...]) -> bytes:
    """The body of an answer: this step's result and those of the steps after it."""
    return json.dumps({"steps": [asdict(result) for result in results]}, separators=(",", ":")).encode()


def decode_results(body: bytes) -> tuple[StepResult, ...]:
    """The results in an answer; empty when the body holds none."""
    try:
        raw = cast(JsonObject, json.loads(body))
        return tuple(StepResult(**item) for item in cast(list[JsonObject], raw["steps"]))  # pyright: ignore[reportArgumentType]
    except (ValueError, TypeError, KeyError):
        return ()
