"""OpenFeature Remote Evaluation Protocol 0.3.0: flags for services, whatever language they are written in.

``app`` includes ``ofrep_router``. Services poll the bulk answer several times a second: where no rule depends on who
asks, it is ready-made, and with ``If-None-Match`` nothing is sent at all.
https://openfeature.dev/docs/reference/other-technologies/ofrep/openapi/
"""

import json
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, JsonValue

from homeostat.api.flags import json_object
from homeostat.core.errors import BadRequestError, NotFoundError
from homeostat.flags import ContextError, FlagService, as_ofrep

POLLING_MS_MIN = 100
"""Faster polling would not see a change sooner than a service notices it."""

_CONFIGURATION: Mapping[str, JsonValue] = {
    "name": "homeostat",
    "capabilities": {
        "cacheInvalidation": {"polling": {"enabled": True, "minPollingIntervalMs": POLLING_MS_MIN}},
        "flagEvaluation": {"supportedTypes": ["boolean", "string", "int", "float", "object"]},
        "caching": {"enabled": False},
    },
}
_CONFIGURATION_TAG = '"homeostat-ofrep-0.3.0"'


class EvaluationRequest(BaseModel):
    """Body of both evaluations: whom for. ``targetingKey`` in it says who it is."""

    context: dict[str, object] = {}  # any JSON; named so, the description needs no reference to a definition


def ofrep_router(flags: FlagService) -> APIRouter:
    """The protocol's three paths, answered by one flag service."""
    router = APIRouter(prefix="/ofrep/v1", tags=["ofrep"])
    body: dict[str, object] = {
        "requestBody": {"content": {"application/json": {"schema": EvaluationRequest.model_json_schema()}}}
    }
    refused: dict[int | str, dict[str, object]] = {400: {"description": "PARSE_ERROR or INVALID_CONTEXT"}}
    not_modified: dict[int | str, dict[str, object]] = {304: {"description": "As it was for this ETag"}}

    @router.post(
        "/evaluate/flags/{key:path}",
        responses={**refused, 404: {"description": "FLAG_NOT_FOUND"}},
        openapi_extra=body,
    )
    async def evaluate_flag(key: str, request: Request) -> JSONResponse:
        """One flag for a context."""
        try:
            found = flags.evaluate(key, _context(await json_object(request)))
        except BadRequestError as error:
            return JSONResponse({"key": key, **_failure(error)}, status_code=400)
        except NotFoundError as error:
            answer = {"key": key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": str(error)}
            return JSONResponse(answer, status_code=404)
        return JSONResponse(as_ofrep(found), status_code=200 if found.error_code is None else 400)

    @router.post("/evaluate/flags", responses={**refused, **not_modified}, openapi_extra=body)
    async def evaluate_flags(request: Request) -> Response:
        """Every flag for a context. The ETag changes with every change that this context can see."""
        try:
            tag, answer = flags.evaluate_all(_context(await json_object(request)))
        except BadRequestError as error:
            return JSONResponse(_failure(error), status_code=400)
        return _tagged(request, f'"{tag}"', answer)

    @router.get("/configuration", responses=not_modified)
    async def configuration(request: Request) -> Response:
        """What a provider may expect of this server."""
        return _tagged(request, _CONFIGURATION_TAG, json.dumps(_CONFIGURATION).encode())

    return router


def _context(body: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Raises ContextError where the context is not an object or its targeting key not a text."""
    context = body.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise ContextError("context must be an object")
    if not isinstance(context.get("targetingKey", ""), str):
        raise ContextError("context.targetingKey must be a text")
    return context


def _failure(error: BadRequestError) -> dict[str, JsonValue]:
    code = "INVALID_CONTEXT" if isinstance(error, ContextError) else "PARSE_ERROR"
    return {"errorCode": code, "errorDetails": str(error)}


def _tagged(request: Request, tag: str, answer: bytes) -> Response:
    """The answer with its ETag, or 304 where the client has it already (RFC 9110, 13.1.2: a weak comparison)."""
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers={"ETag": tag})
    return Response(answer, media_type="application/json", headers={"ETag": tag})
