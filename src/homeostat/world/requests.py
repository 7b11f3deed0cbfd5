"""What people may send to the journey API: lenient where the original was, an error in words where it is of no use.

Turns a request body into ``JourneyOrder`` parts; used by ``journey_api`` only.
"""

import json
from typing import cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from homeostat.core.errors import BadRequestError
from homeostat.world.customers import ErrorHint
from homeostat.world.journeys import DEFAULT_STEPS, STEPS_MAX, Step, service_for
from homeostat.world.runner import PlannedStep

CUSTOMERS_MAX = 5


class Lenient(BaseModel):
    """Unknown fields are left aside: clients send many that only the original's user interface reads."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class HintBody(Lenient):
    """``errorHint`` of a step."""

    type: str | None = Field(default=None, max_length=80, validation_alias=AliasChoices("type", "errorType"))
    http_status: int | None = Field(
        default=None, ge=400, le=599, validation_alias=AliasChoices("httpStatus", "status", "http_status")
    )
    likelihood: float | None = None
    force: bool = False


class StepBody(Lenient):
    """One step; its name may stand in any of four fields."""

    name: str = Field(
        min_length=1, max_length=120, validation_alias=AliasChoices("stepName", "name", "step", "title")
    )
    service_name: str | None = Field(default=None, max_length=120, validation_alias="serviceName")
    hint: HintBody | None = Field(default=None, validation_alias=AliasChoices("errorHint", "errorPlan"))
    has_error: bool = Field(default=False, validation_alias="hasError")
    error_type: str | None = Field(default=None, max_length=80, validation_alias="errorType")
    http_status: int | None = Field(default=None, ge=400, le=599, validation_alias="httpStatus")


class JourneyBody(Lenient):
    """``journey`` or ``aiJourney``."""

    name: str | None = Field(default=None, max_length=200)
    journey_id: str | None = Field(default=None, max_length=200, validation_alias="journeyId")
    company: str | None = Field(default=None, max_length=200, validation_alias=AliasChoices("companyName", "company"))
    journey_type: str | None = Field(default=None, max_length=200, validation_alias="journeyType")
    steps: tuple[StepBody, ...] | None = Field(default=None, max_length=200)
    additional_fields: dict[str, object] = Field(default_factory=dict, validation_alias="additionalFields")
    customer_profile: dict[str, object] = Field(default_factory=dict, validation_alias="customerProfile")
    trace_metadata: dict[str, object] = Field(default_factory=dict, validation_alias="traceMetadata")
    sources: tuple[object, ...] = ()
    provider: str | None = Field(default=None, max_length=200)


class SimulationBody(Lenient):
    """The body of all three simulate calls."""

    journey_id: str | None = Field(default=None, max_length=200, validation_alias="journeyId")
    customer_id: str | None = Field(default=None, max_length=200, validation_alias="customerId")
    customer_name: str | None = Field(default=None, max_length=200, validation_alias="customerName")
    company: str | None = Field(default=None, max_length=200, validation_alias="companyName")
    customers: int = Field(default=1, ge=1)
    chained: bool = True
    think_time_ms: int | None = Field(default=None, ge=0, le=60_000, validation_alias="thinkTimeMs")
    errors_simulated: bool = Field(default=True, validation_alias="errorSimulationEnabled")
    journey: JourneyBody | None = None
    ai_journey: JourneyBody | None = Field(default=None, validation_alias="aiJourney")
    steps: tuple[StepBody, ...] | None = Field(default=None, max_length=200)
    additional_fields: dict[str, object] = Field(default_factory=dict, validation_alias="additionalFields")
    customer_profile: dict[str, object] = Field(default_factory=dict, validation_alias="customerProfile")
    trace_metadata: dict[str, object] = Field(default_factory=dict, validation_alias="traceMetadata")

    @property
    def told(self) -> JourneyBody:
        """The journey that was sent, an empty one when there was none."""
        return self.journey or self.ai_journey or JourneyBody()

    @property
    def company_name(self) -> str:
        """The company, ``DefaultCompany`` when none was named."""
        return self.told.company or self.company or "DefaultCompany"

    @property
    def journey_name(self) -> str:
        """What the journey is called in traces and statistics."""
        return self.told.name or self.told.journey_type or f"{self.company_name} Journey"

    @property
    def named_steps(self) -> tuple[StepBody, ...] | None:
        """The steps that were sent, None when there were none."""
        return self.told.steps if self.told.steps is not None else self.steps

    def planned(self) -> tuple[PlannedStep, ...]:
        """At most six steps; the default ones when none were sent."""
        sent = self.named_steps
        if not sent:
            return tuple(PlannedStep(Step(name, service_for(name))) for name in DEFAULT_STEPS)
        return tuple(_planned(step) for step in sent[:STEPS_MAX])


def _planned(body: StepBody) -> PlannedStep:
    step = Step(body.name, body.service_name or service_for(body.name))
    if body.hint is not None:
        hint = body.hint
        return PlannedStep(step, ErrorHint(hint.type, hint.http_status, hint.likelihood, hint.force))
    if body.has_error:
        return PlannedStep(step, ErrorHint(body.error_type, body.http_status, force=True))
    return PlannedStep(step)


def read_simulation(body: bytes) -> SimulationBody:
    """The request. Raises BadRequestError that names every field that cannot be used."""
    try:
        raw = cast(object, json.loads(body)) if body.strip() else {}
    except ValueError as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from None
    try:
        return SimulationBody.model_validate(raw)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'body'}: {item['msg']}" for item in error.errors()[:8]
        )
        raise BadRequestError(f"The request cannot be used: {told}.") from None
