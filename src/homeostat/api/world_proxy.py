"""``/api/journey-simulation/…``: passed on to the demo world, which is a process of its own."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx2
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.responses import Response

from homeostat.api.context import Here

PREFIX = "/api/journey-simulation"

router = APIRouter(prefix=PREFIX, include_in_schema=False)

TIMEOUT = httpx2.Timeout(120.0, connect=2.0)  # a batch of journeys with think times takes its time

# RFC 9110, 7.6.1: these concern one connection, not the message. Host and length are the client's to set anew.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
    }
)


def world_client(world_url: str) -> httpx2.AsyncClient:
    """The client for the world's API. Proxies of the environment are not for a process on this machine."""
    return httpx2.AsyncClient(base_url=world_url, timeout=TIMEOUT, trust_env=False)


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def pass_on(path: str, request: Request, here: Here) -> Response:
    """Ask the world the same and stream its answer back."""
    if here.world is None:
        return _detail(404, "There is no demo world here. Start one with `homeostat demo`.")
    if any(part in {".", ".."} for part in path.split("/")):
        return _detail(404, "A path may not climb out of the world's API.")
    asked = here.world.build_request(
        request.method,
        f"{PREFIX}/{quote(path)}",
        params=list(request.query_params.multi_items()),
        headers=_end_to_end(request.headers.items()),
        content=await request.body(),
    )
    try:
        answer = await here.world.send(asked, stream=True)
    except httpx2.TransportError as error:
        reason = str(error) or type(error).__name__
        return _detail(
            502,
            f"The demo world at {here.parts.world_url} cannot be reached ({reason}). "
            "It may have ended: start `homeostat demo` again.",
        )
    return StreamingResponse(
        _bytes_of(answer),
        answer.status_code,
        headers=dict(_end_to_end(answer.headers.multi_items())),
        background=BackgroundTask(answer.aclose),
    )


async def _bytes_of(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """The body as it was sent, content coding and all."""
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _end_to_end(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]


def _detail(status: int, text: str) -> JSONResponse:
    return JSONResponse({"detail": text}, status)
