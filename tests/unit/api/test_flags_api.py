"""The original's remediation interface answers as the original did, and Homeostat's own reads show the same flags."""

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from homeostat.api.flags import flags_router
from homeostat.core.config import DynatraceConfig
from homeostat.flags import FlagService
from homeostat.runtime import SystemClock, SystemIds
from homeostat.store.state import open_state

DEFAULTS = {
    "errorInjectionEnabled": True,
    "slowResponsesEnabled": True,
    "circuitBreakerEnabled": False,
    "rateLimitingEnabled": False,
    "cacheEnabled": True,
}
ONE = "/api/remediation/feature-flag"
ALL = "/api/remediation/feature-flags"
BULK = "/api/remediation/feature-flags/bulk"


@asynccontextmanager
async def served(
    path: Path, dynatrace: DynatraceConfig, *, max_mib: int | None = None
) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client of a real server over a real store."""
    async with open_state(path / "state.db", SystemClock(), max_mib=max_mib).opened() as store:
        flags = FlagService(store, SystemClock(), SystemIds(), dynatrace=dynatrace)
        async with flags.opened():
            app = FastAPI()
            app.include_router(flags_router(flags))
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
            with socket.create_server(("127.0.0.1", 0)) as listener:
                running = asyncio.ensure_future(server.serve([listener]))
                base = f"http://127.0.0.1:{listener.getsockname()[1]}"
                async with httpx2.AsyncClient(base_url=base, timeout=10) as client:
                    yield client
                server.should_exit = True
                await running


@pytest.fixture
async def client(tmp_path: Path) -> AsyncGenerator[httpx2.AsyncClient, None]:
    # In a task of its own: a fixture is entered and left by different tasks, which a task group does not bear.
    ready: asyncio.Future[httpx2.AsyncClient] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def serve() -> None:
        async with served(tmp_path, DynatraceConfig()) as opened:
            ready.set_result(opened)
            await done.wait()

    serving = asyncio.ensure_future(serve())
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    yield ready.result()
    done.set()
    await serving


@contextmanager
def listening(answer: bytes | None) -> Generator[str, None, None]:
    """The address of something that takes a connection and sends ``answer``, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def without_time(body: dict[str, Any]) -> dict[str, Any]:
    assert body.pop("timestamp").endswith("Z")
    return body


class TestReading:
    async def test_all_five_flags_with_their_values(self, client: httpx2.AsyncClient) -> None:
        answer = await client.get(ALL)
        assert answer.status_code == 200
        assert without_time(answer.json()) == {"ok": True, "flags": DEFAULTS}

    async def test_our_own_list_shows_what_is_meant_as_well(self, client: httpx2.AsyncClient) -> None:
        await client.post(ONE, json={"flag": "cacheEnabled", "value": False})
        lines = (await client.get("/api/flags")).json()
        assert [line["flag"] for line in lines] == list(DEFAULTS)
        assert lines[4] == {**lines[4], "value": False, "armed": False}
        assert all(line["description"] for line in lines)

    async def test_the_audit_shows_the_deployment_event_of_every_change(self, client: httpx2.AsyncClient) -> None:
        await client.post(BULK, json={"flags": {"cacheEnabled": False}, "triggeredBy": "ann", "problemId": "P-1"})
        [change] = (await client.get("/api/flag-changes")).json()
        assert change["event"]["title"] == "Feature Flag Changed: cacheEnabled"
        properties = change["event"]["properties"]
        assert properties["deployment.source"] == "ann"
        assert properties["remediation.type"] == "bulk_feature_flag_toggle"
        assert (change["event_sent"], change["event_detail"]) == (False, "no_credentials")

    async def test_the_audit_is_newest_first_and_limited(self, client: httpx2.AsyncClient) -> None:
        for value in (False, True, False):
            await client.post(ONE, json={"flag": "cacheEnabled", "value": value})
        assert [change["new_value"] for change in (await client.get("/api/flag-changes")).json()] == [
            False,
            True,
            False,
        ]
        assert len((await client.get("/api/flag-changes?limit=2")).json()) == 2
        assert (await client.get("/api/flag-changes?limit=0")).status_code == 422


class TestChangingOne:
    async def test_the_answer_has_the_fields_of_the_original(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post(
            ONE,
            json={
                "flag": "errorInjectionEnabled",
                "value": False,
                "reason": "too many",
                "problemId": "P-1",
                "triggeredBy": "wf",
            },
            headers={"X-Dynatrace-Automation": "true"},
        )
        assert answer.status_code == 200
        assert without_time(answer.json()) == {
            "ok": True,
            "flag": "errorInjectionEnabled",
            "previousValue": True,
            "newValue": False,
            "reason": "too many",
            "triggeredBy": "wf",
            "eventSent": False,
            "eventDetails": {"success": False, "reason": "no_credentials"},
        }
        assert (await client.get(ALL)).json()["flags"] == {**DEFAULTS, "errorInjectionEnabled": False}

    async def test_who_does_not_say_who_is_manual(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post(ONE, json={"flag": "cacheEnabled", "value": False})
        assert (answer.json()["triggeredBy"], answer.json()["reason"]) == ("manual", None)

    async def test_missing_fields_are_named(self, client: httpx2.AsyncClient) -> None:
        for body in ({}, {"flag": "cacheEnabled"}, {"value": True}, {"flag": "", "value": True}):
            answer = await client.post(ONE, json=body)
            assert answer.status_code == 400
            assert answer.json() == {"ok": False, "error": "Missing required fields: flag, value"}

    async def test_an_unknown_flag_is_told_which_there_are(self, client: httpx2.AsyncClient) -> None:
        for flag in ("nope", "__proto__", 7, ["cacheEnabled"], {"a": 1}):
            answer = await client.post(ONE, json={"flag": flag, "value": True})
            assert answer.status_code == 400
            assert answer.json() == {
                "ok": False,
                "error": f"Unknown feature flag: {flag}",
                "availableFlags": list(DEFAULTS),
            }

    async def test_a_value_that_is_not_boolean_is_refused_by_name(self, client: httpx2.AsyncClient) -> None:
        for value in ("false", 0, 1, None, [], {}):
            answer = await client.post(ONE, json={"flag": "cacheEnabled", "value": value})
            assert answer.status_code == 400
            assert answer.json()["error"].startswith("Field value must be true or false")
        assert (await client.get(ALL)).json()["flags"] == DEFAULTS

    async def test_a_field_that_is_not_a_text_is_refused_by_name(self, client: httpx2.AsyncClient) -> None:
        for field in ("reason", "problemId", "triggeredBy", "dtEnvironment", "dtToken"):
            answer = await client.post(ONE, json={"flag": "cacheEnabled", "value": False, field: {"x": 1}})
            assert answer.status_code == 400
            assert field in answer.json()["error"]
        assert (await client.get(ALL)).json()["flags"] == DEFAULTS

    async def test_a_body_that_is_no_json_object_is_refused(self, client: httpx2.AsyncClient) -> None:
        too_long = b'{"a":"' + b"x" * 70_000 + b'"}'
        for body in (b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 60_000, too_long):
            for path in (ONE, BULK):
                answer = await client.post(path, content=body)
                assert answer.status_code == 400, (path, body[:10])
                assert answer.json()["ok"] is False
                assert answer.json()["error"].startswith("The body is")

    async def test_nobody_may_pass_as_homeostat(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post(ONE, json={"flag": "cacheEnabled", "value": False, "triggeredBy": "homeostat"})
        assert answer.status_code == 400
        assert "homeostat" in answer.json()["error"]


class TestBulk:
    async def test_known_flags_change_and_unknown_ones_are_left_out(self, client: httpx2.AsyncClient) -> None:
        body = {
            "flags": {"errorInjectionEnabled": False, "nope": True, "circuitBreakerEnabled": True},
            "reason": "defence",
        }
        answer = await client.post(BULK, json=body)
        assert answer.status_code == 200
        assert without_time(answer.json()) == {
            "ok": True,
            "changes": [
                {"flag": "errorInjectionEnabled", "previousValue": True, "newValue": False},
                {"flag": "circuitBreakerEnabled", "previousValue": False, "newValue": True},
            ],
            "events": [
                {"flag": "errorInjectionEnabled", "eventSent": False},
                {"flag": "circuitBreakerEnabled", "eventSent": False},
            ],
            "reason": "defence",
            "triggeredBy": "manual",
        }

    async def test_missing_flags_are_refused(self, client: httpx2.AsyncClient) -> None:
        for body in ({}, {"flags": None}, {"flags": "x"}, {"flags": [1]}):
            answer = await client.post(BULK, json=body)
            assert answer.status_code == 400
            assert answer.json() == {"ok": False, "error": "Missing required field: flags (object)"}

    async def test_one_bad_value_changes_nothing(self, client: httpx2.AsyncClient) -> None:
        answer = await client.post(BULK, json={"flags": {"cacheEnabled": False, "rateLimitingEnabled": "yes"}})
        assert answer.status_code == 400
        assert "flags.rateLimitingEnabled" in answer.json()["error"]
        assert (await client.get(ALL)).json()["flags"] == DEFAULTS


async def test_a_change_that_cannot_be_recorded_is_not_made(tmp_path: Path) -> None:
    async with served(tmp_path, DynatraceConfig(), max_mib=1) as client:
        for number in range(100):
            change = {"flag": "cacheEnabled", "value": number % 2 == 0, "reason": "x" * 50_000}
            before = (await client.get(ALL)).json()["flags"]
            answer = await client.post(ONE, json=change)
            if answer.status_code != 200:
                break
        assert answer.status_code == 500
        assert answer.json()["ok"] is False
        assert "No room left" in answer.json()["error"]
        assert (await client.get(ALL)).json()["flags"] == before


class TestEvents:
    async def test_a_sent_event_shows_status_and_body(self, tmp_path: Path) -> None:
        answer = b'HTTP/1.1 201 Created\r\nContent-Length: 17\r\n\r\n{"reportCount":1}'
        with listening(answer) as dynatrace:
            config = DynatraceConfig(environment=dynatrace, token="t")
            async with served(tmp_path, config) as client:
                body = (await client.post(ONE, json={"flag": "cacheEnabled", "value": False})).json()
        assert body["eventSent"] is True
        assert body["eventDetails"] == {"success": True, "status": 201, "body": '{"reportCount":1}'}

    async def test_a_dynatrace_that_never_answers_costs_two_seconds_at_most(self, tmp_path: Path) -> None:
        with listening(None) as dynatrace:
            config = DynatraceConfig(environment=dynatrace, token="t")
            async with served(tmp_path, config) as client:
                start = time.monotonic()
                flags = {"cacheEnabled": False, "errorInjectionEnabled": False}
                body = (await client.post(BULK, json={"flags": flags})).json()
                took = time.monotonic() - start
                assert (await client.get(ALL)).json()["flags"] == {**DEFAULTS, **flags}
        assert [event["eventSent"] for event in body["events"]] == [False, False]
        assert took < 4, f"took {took:.1f} s"
