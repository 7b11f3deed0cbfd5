"""The demo world's API is passed on to the process that answers it."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest
from api_parts import Setup
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from homeostat.api.server import serving


async def echo(request: Request) -> JSONResponse:
    """Says what arrived."""
    return JSONResponse(
        {
            "method": request.method,
            "path": request.scope["path"],
            "query": request.url.query,
            "body": (await request.body()).decode(),
            "correlation": request.headers.get("x-correlation-id"),
        },
        status_code=418,
        headers={"x-correlation-id": "c1"},
    )


async def slow(request: Request) -> StreamingResponse:
    """Begins at once and ends when it was told to."""

    async def lines() -> AsyncGenerator[bytes, None]:
        yield b"first\n"
        await anyio.sleep(0.05)
        yield b"last\n"

    return StreamingResponse(lines(), media_type="text/plain")


PREFIX = "/api/journey-simulation"


@asynccontextmanager
async def a_world() -> AsyncGenerator[str, None]:
    """A server that stands where the world stands."""
    routes = [
        Route(f"{PREFIX}/slow", slow),
        Route(f"{PREFIX}/{{path:path}}", echo, methods=["GET", "POST"]),
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(Starlette(routes=routes), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_call_is_passed_on_whole_and_so_is_its_answer(setup: Setup) -> None:
    async with a_world() as world, setup.client(world_url=world) as client:
        answer = await client.post(
            f"{PREFIX}/simulate-journey?a=1&a=2", json={"chained": True}, headers={"x-correlation-id": "mine"}
        )
    assert answer.status_code == 418
    assert answer.headers["x-correlation-id"] == "c1"
    assert answer.json() == {
        "method": "POST",
        "path": f"{PREFIX}/simulate-journey",
        "query": "a=1&a=2",
        "body": '{"chained":true}',
        "correlation": "mine",
    }


async def test_names_with_odd_characters_arrive_as_they_were(setup: Setup) -> None:
    async with a_world() as world, setup.client(world_url=world) as client:
        answer = await client.post(f"{PREFIX}/continuous-generation/stop/Wayne%20%26%20S%C3%B6hne%3F")
    assert answer.json()["path"] == f"{PREFIX}/continuous-generation/stop/Wayne & Söhne?"


async def test_an_answer_is_streamed(setup: Setup) -> None:
    async with a_world() as world, setup.client(world_url=world) as client:
        assert (await client.get(f"{PREFIX}/slow")).text == "first\nlast\n"


@pytest.mark.parametrize("path", ["../overview", "%2e%2e/overview", "a/..%2f..%2foverview"])
async def test_a_path_may_not_climb_out(setup: Setup, path: str) -> None:
    async with a_world() as world, setup.client(world_url=world) as client:
        answer = await client.post(f"{PREFIX}/{path}")
    assert answer.status_code in {404, 405}


async def test_without_a_world_it_is_said_how_to_have_one(setup: Setup) -> None:
    async with setup.client() as client:
        answer = await client.post(f"{PREFIX}/simulate-journey", json={})
    assert answer.status_code == 404
    assert "homeostat demo" in answer.json()["detail"]


async def test_a_world_that_is_gone_is_named(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with setup.client(world_url=gone) as client:
        answer = await client.post(f"{PREFIX}/simulate-journey", json={})
    assert answer.status_code == 502
    assert gone in answer.json()["detail"]
