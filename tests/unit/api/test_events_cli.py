"""``homeostat events`` and ``homeostat maintenance`` against the real API over a socket."""

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from api_parts import Setup
from event_support import event_parts
from typer.testing import CliRunner, Result

from homeostat.api.app import create_api
from homeostat.api.server import serving
from homeostat.cli.main import app


@asynccontextmanager
async def listening(setup: Setup) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(create_api(setup.parts(events=event_parts(setup))), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def run(url: str, *words: str) -> Result:
    return await anyio.to_thread.run_sync(partial(CliRunner().invoke, app, [*words, "--url", url]))


async def test_a_change_is_told_listed_and_ranked(setup: Setup) -> None:
    async with listening(setup) as url:
        assert "No events." in (await run(url, "events", "list")).stdout
        assert "Nothing is known to have changed." in (await run(url, "events", "changes")).stdout
        told = await run(url, "events", "tell", "payment 1.2", "--service", "payment")
        assert told.stdout.startswith("Told: evt-")
        assert "payment 1.2" in (await run(url, "events", "list", "--type", "deployment")).stdout
        ranked = await run(url, "events", "changes", "--service", "payment", "--service", "web")
        assert "of payment itself" in ranked.stdout
        as_json = await run(url, "events", "changes", "--service", "payment", "--json")
        assert json.loads(as_json.stdout)[0]["event"]["source"] == "cli"


async def test_maintenance_is_started_listed_and_ended(setup: Setup) -> None:
    async with listening(setup) as url:
        assert "No maintenance." in (await run(url, "maintenance", "list")).stdout
        options = ("--minutes", "5", "--who", "ann", "--reason", "disks", "--service", "payment")
        started = await run(url, "maintenance", "start", *options)
        window_id = started.stdout.split(":")[0]
        assert window_id.startswith("maintenance-")
        assert "disks" in (await run(url, "maintenance", "list")).stdout
        assert (await run(url, "maintenance", "end", window_id)).exit_code == 0
        assert "No maintenance." in (await run(url, "maintenance", "list")).stdout
        assert (await run(url, "maintenance", "end", "maintenance-404")).exit_code != 0


async def test_status_says_that_maintenance_holds_healing_back(setup: Setup) -> None:
    async with listening(setup) as url:
        assert "Maintenance" not in (await run(url, "status")).stdout
        started = await run(
            url, "maintenance", "start", "--minutes", "30", "--who", "ann", "--reason", "disks", "--service", "shop"
        )
        assert started.exit_code == 0, started.output
        said = (await run(url, "status")).stdout
        assert "Maintenance of shop until " in said
        assert "healing shows what it would do and does nothing by itself" in said
