"""Errors as answers: ``{"detail": what is wrong and what to do}`` with the status that fits."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.responses import Response

from homeostat.api.models import ErrorAnswer
from homeostat.core.errors import (
    ActionError,
    BadRequestError,
    ConflictError,
    HomeostatError,
    NotFoundError,
    StoreError,
    TelemetryRejectedError,
    TooManyError,
    TryAgainError,
)

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5

STATUSES: tuple[tuple[type[HomeostatError], int], ...] = (
    (NotFoundError, 404),
    (BadRequestError, 400),
    (TelemetryRejectedError, 400),
    (ConflictError, 409),
    (ActionError, 409),
    (TooManyError, 429),
    (TryAgainError, 503),
    (StoreError, 503),
)
"""The first class that fits decides; any other HomeostatError is a 500."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "Understood, and wrong"},
    403: {"model": ErrorAnswer, "description": "Asked by another web page, or under a foreign name"},
    413: {"model": ErrorAnswer, "description": "Too large"},
    422: {"model": ErrorAnswer, "description": "Not understood"},
    503: {"model": ErrorAnswer, "description": "It cannot be answered or taken now; retry later"},
}
"""What any call may answer."""

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ErrorAnswer, "description": "No such thing"}}
CONFLICT: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND,
    409: {"model": ErrorAnswer, "description": "Not in the present state"},
}
TOO_MANY: dict[int | str, dict[str, Any]] = {429: {"model": ErrorAnswer, "description": "Too many at once"}}


def status_of(error: HomeostatError) -> int:
    """The HTTP status of an error of ours."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of the app answer in one shape."""
    app.add_exception_handler(HomeostatError, _ours)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, error: Exception) -> Response:
    status = status_of(cast("HomeostatError", error))
    if status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status in {429, 503} else None
    return JSONResponse({"detail": str(error)}, status, headers)


async def _not_understood(request: Request, error: Exception) -> Response:
    errors = cast("RequestValidationError", error).errors()
    return JSONResponse({"detail": "; ".join(_sentence(item) for item in errors)}, 422)


def _sentence(item: Mapping[str, object]) -> str:
    """``query limit: Input should be less than or equal to 1000``."""
    place = " ".join(str(part) for part in cast("Sequence[object]", item.get("loc", ())))
    return f"{place}: {item.get('msg', 'not valid')}"


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback by raising it on; here only the answer is made.
    name = type(error).__name__
    return JSONResponse(
        {"detail": f"Homeostat failed at this ({name}). The log has the traceback; please report it."}, 500
    )
