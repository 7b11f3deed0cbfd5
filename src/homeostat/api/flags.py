"""Feature flags over HTTP: the original's remediation interface, field by field, and Homeostat's own two reads.

``app`` includes ``flags_router``. In the remediation interface even errors are the original's:
``{"ok": false, "error": ...}`` with status 400 or 500.
"""

import json
import logging
from collections.abc import Mapping
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, JsonValue

from homeostat.api.flags_models import (
    DEFAULT_TRIGGER,
    BulkAnswer,
    BulkChange,
    BulkEvent,
    BulkFlagRequest,
    FlagAnswer,
    FlagRequest,
    FlagsAnswer,
    FlagView,
    Refusal,
)
from homeostat.core.errors import BadRequestError, StoreError
from homeostat.core.models import AUTOMATIC, FlagChange, Model
from homeostat.flags import EventResult, FlagOutcome, FlagService, RemediationType

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 64 * 1024
"""A longer request body is refused: no honest one comes near."""

EVENT_PATIENCE_S = 2.0
"""How long an answer waits to be able to tell what became of the event."""

JsonObject = dict[str, JsonValue]


Responses = dict[int | str, dict[str, Any]]
"""FastAPI's own type for the answers of a path."""

_REFUSALS: Responses = {
    400: {"model": Refusal, "description": "Not understood, or not possible"},
    500: {"model": Refusal, "description": "The change could not be recorded"},
}


class RefusedError(BadRequestError):
    """A request that gets the original's 400; ``known`` tells which flags there are."""

    def __init__(self, message: str, known: list[str] | None = None) -> None:
        super().__init__(message)
        self.known = known


def flags_router(flags: FlagService) -> APIRouter:
    """Every path of this module, answered by one flag service."""
    router = APIRouter(tags=["flags"])
    _add_own(router, flags)
    _add_remediation(router, flags)
    return router


async def json_object(request: Request) -> JsonObject:
    """The body as a JSON object; an empty one is an empty object.

    Raises BadRequestError for anything else, or for more than 64 KiB.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadRequestError(f"The body is longer than {BODY_BYTES_MAX // 1024} KiB")
    if not body.strip():
        return {}
    try:
        parsed: JsonValue = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise BadRequestError("The body is not a JSON object")
    return parsed


def _body_of(model: type[BaseModel]) -> dict[str, object]:
    """What the handlers read by themselves, for the description of the interface."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


def _add_own(router: APIRouter, flags: FlagService) -> None:
    @router.get("/api/flags")
    async def list_flags() -> list[FlagView]:
        """Every flag that can be switched: what it is, and what it is meant to be when all is well."""
        values, armed = flags.values(), flags.armed()
        return [
            FlagView(flag=key, value=values[key], armed=armed[key], description=flags.definitions[key].description)
            for key in values
        ]

    @router.get("/api/flag-changes")
    async def list_flag_changes(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[FlagChange]:
        """The audit, newest first, each change with its CUSTOM_DEPLOYMENT event and whether Dynatrace has it too."""
        return await flags.latest_changes(limit)


def _add_remediation(router: APIRouter, flags: FlagService) -> None:
    def answered(model: type[Model]) -> Responses:
        return {200: {"model": model}, **_REFUSALS}

    @router.get("/api/remediation/feature-flags")
    async def read_flags() -> FlagsAnswer:
        """Present value of every flag."""
        return FlagsAnswer(flags=flags.values(), timestamp=flags.timestamp())

    @router.post("/api/remediation/feature-flag", responses=answered(FlagAnswer), openapi_extra=_body_of(FlagRequest))
    async def change_flag(request: Request) -> JSONResponse:
        """Change one flag; the answer tells what became of its deployment event."""
        try:
            answer = await _change_one(flags, await json_object(request))
        except (BadRequestError, StoreError) as error:
            return _refusal(error)
        details = answer.eventDetails.model_dump(mode="json", exclude_none=True)
        return JSONResponse({**answer.model_dump(mode="json"), "eventDetails": details})

    @router.post(
        "/api/remediation/feature-flags/bulk", responses=answered(BulkAnswer), openapi_extra=_body_of(BulkFlagRequest)
    )
    async def change_flags(request: Request) -> JSONResponse:
        """Change several flags; unknown ones are left out of the answer."""
        try:
            answer = await _change_many(flags, await json_object(request))
        except (BadRequestError, StoreError) as error:
            return _refusal(error)
        return JSONResponse(answer.model_dump(mode="json"))


def _refusal(error: BadRequestError | StoreError) -> JSONResponse:
    known = error.known if isinstance(error, RefusedError) else None
    refusal = Refusal(error=str(error), availableFlags=known)
    status = 500 if isinstance(error, StoreError) else 400
    return JSONResponse(refusal.model_dump(mode="json", exclude_none=True), status_code=status)


async def _change_one(flags: FlagService, body: JsonObject) -> FlagAnswer:
    flag = body.get("flag")
    if not flag or "value" not in body:
        raise RefusedError("Missing required fields: flag, value")
    known = flags.values()
    if not isinstance(flag, str) or flag not in known:
        raise RefusedError(f"Unknown feature flag: {flag}", list(known))
    value, who = _boolean("value", body["value"]), _Who.of(body)
    outcome = await _change(flags, flag, value, who, RemediationType.TOGGLE)
    event = await outcome.event(within_s=EVENT_PATIENCE_S)
    return FlagAnswer(
        flag=flag,
        previousValue=outcome.change.previous_value,
        newValue=outcome.change.new_value,
        reason=who.reason,
        triggeredBy=who.triggered_by,
        eventSent=event.success,
        eventDetails=event,
        timestamp=flags.timestamp(),
    )


async def _change_many(flags: FlagService, body: JsonObject) -> BulkAnswer:
    wanted = body.get("flags")
    if not isinstance(wanted, dict):
        raise RefusedError("Missing required field: flags (object)")
    known = flags.values()
    # All values are checked before the first flag is touched: half a bulk is what nobody asked for.
    values = {flag: _boolean(f"flags.{flag}", value) for flag, value in wanted.items() if flag in known}
    who = _Who.of(body)
    outcomes = [await _change(flags, flag, value, who, RemediationType.BULK) for flag, value in values.items()]
    events = await _events(outcomes)
    changes = [outcome.change for outcome in outcomes]
    return BulkAnswer(
        changes=[BulkChange(flag=c.flag, previousValue=c.previous_value, newValue=c.new_value) for c in changes],
        events=[BulkEvent(flag=c.flag, eventSent=e.success) for c, e in zip(changes, events, strict=True)],
        reason=who.reason,
        triggeredBy=who.triggered_by,
        timestamp=flags.timestamp(),
    )


async def _change(flags: FlagService, flag: str, value: bool, who: "_Who", kind: RemediationType) -> FlagOutcome:
    return await flags.change(
        flag,
        value,
        reason=who.reason or "",
        triggered_by=who.triggered_by,
        problem_id=who.problem_id,
        kind=kind,
        environment=who.environment,
        token=who.token,
    )


async def _events(outcomes: list[FlagOutcome]) -> list[EventResult]:
    """What became of all events, with one patience for all of them."""
    deadline = anyio.current_time() + EVENT_PATIENCE_S
    return [await outcome.event(within_s=max(0.0, deadline - anyio.current_time())) for outcome in outcomes]


class _Who(Model):
    """Who wants a change and why, and which Dynatrace to tell."""

    reason: str | None
    triggered_by: str
    problem_id: str | None
    environment: str | None
    token: str | None

    @classmethod
    def of(cls, body: Mapping[str, JsonValue]) -> "_Who":
        """From the optional fields of a request. Raises BadRequestError naming a field that is not a text."""
        triggered_by = _text(body, "triggeredBy") or DEFAULT_TRIGGER
        if triggered_by == AUTOMATIC:
            raise RefusedError(f"triggeredBy {AUTOMATIC!r} is what Homeostat calls itself. Use a name of your own")
        return cls(
            reason=_text(body, "reason"),
            triggered_by=triggered_by,
            problem_id=_text(body, "problemId"),
            environment=_text(body, "dtEnvironment"),
            token=_text(body, "dtToken"),
        )


def _text(body: Mapping[str, JsonValue], name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise RefusedError(f"Field {name} must be a text, not {json.dumps(value)}")


def _boolean(name: str, value: JsonValue) -> bool:
    if isinstance(value, bool):
        return value
    raise RefusedError(f"Field {name} must be true or false, not {json.dumps(value)}")
