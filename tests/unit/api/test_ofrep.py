"""Services ask for flags over OFREP 0.3.0: answers, errors, entity tags, and the protocol's own client."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread
import httpx2
import pytest
import uvicorn
from fastapi import FastAPI

from homeostat.api.ofrep import ofrep_router
from homeostat.flags import FlagService, FlagSet
from homeostat.flags.reading import read_flags
from homeostat.runtime import SystemClock, SystemIds
from homeostat.store.state import open_state

BULK = "/ofrep/v1/evaluate/flags"
FIVE = {
    "errorInjectionEnabled": True,
    "slowResponsesEnabled": True,
    "circuitBreakerEnabled": False,
    "rateLimitingEnabled": False,
    "cacheEnabled": True,
}
MIXED = {
    "flags": {
        "colour": {"state": "ENABLED", "variants": {"r": "red", "b": "blue"}, "defaultVariant": "r"},
        "limit": {"state": "ENABLED", "variants": {"low": 10, "high": 99}, "defaultVariant": "high"},
        "ratio": {"state": "ENABLED", "variants": {"half": 0.5}, "defaultVariant": "half"},
        "shape": {"state": "ENABLED", "variants": {"s": {"a": [1, 2]}}, "defaultVariant": "s"},
        "gone": {"state": "DISABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"},
        "open": {"state": "ENABLED", "variants": {"on": True, "off": False}},
    }
}
TARGETED = {
    "flags": {
        "beta": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on"]},
        },
        "broken": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {"if": [{"<": [{"var": "age"}, 3]}, "missing-variant", "off"]},
        },
    }
}


@asynccontextmanager
async def served(
    path: Path, flag_set: FlagSet | None = None
) -> AsyncGenerator[tuple[httpx2.AsyncClient, FlagService], None]:
    """A client of a real server, and the service behind it."""
    async with open_state(path / "state.db", SystemClock()).opened() as store:
        flags = FlagService(store, SystemClock(), SystemIds(), definitions=flag_set)
        async with flags.opened():
            app = FastAPI()
            app.include_router(ofrep_router(flags))
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
            with socket.create_server(("127.0.0.1", 0)) as listener:
                running = asyncio.ensure_future(server.serve([listener]))
                base = f"http://127.0.0.1:{listener.getsockname()[1]}"
                async with httpx2.AsyncClient(base_url=base, timeout=10) as client:
                    yield client, flags
                server.should_exit = True
                await running


def flags_of(document: dict[str, Any]) -> FlagSet:
    return read_flags(json.dumps(document), "flags.json")


class TestOne:
    async def test_a_flag_has_value_variant_and_reason(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, flags):
            answer = await client.post(f"{BULK}/cacheEnabled", json={"context": {"targetingKey": "payment"}})
            assert answer.status_code == 200
            description = flags.definitions["cacheEnabled"].description
            assert answer.json() == {
                "key": "cacheEnabled",
                "value": True,
                "variant": "on",
                "reason": "STATIC",
                "metadata": {"description": description},
            }

    async def test_who_reads_a_flag_is_known_to_use_flags(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, flags):
            before = SystemClock().now()
            await client.get("/ofrep/v1/configuration")
            assert not flags.asked_since(before)
            await client.post(f"{BULK}/cacheEnabled", json={})
            assert flags.asked_since(before)

    async def test_a_change_is_answered_at_once(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, flags):
            await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            answer = (await client.post(f"{BULK}/cacheEnabled")).json()
            assert (answer["value"], answer["variant"], answer["reason"]) == (False, "off", "STATIC")

    async def test_every_type_is_served(self, tmp_path: Path) -> None:
        async with served(tmp_path, flags_of(MIXED)) as (client, _):
            found = {flag["key"]: flag.get("value") for flag in (await client.post(BULK)).json()["flags"]}
        assert found == {
            "colour": "red",
            "limit": 99,
            "ratio": 0.5,
            "shape": {"a": [1, 2]},
            "gone": None,
            "open": None,
        }

    async def test_a_disabled_flag_and_one_without_default_leave_it_to_the_code(self, tmp_path: Path) -> None:
        async with served(tmp_path, flags_of(MIXED)) as (client, _):
            for flag, reason in (("gone", "DISABLED"), ("open", "DEFAULT")):
                answer = await client.post(f"{BULK}/{flag}")
                assert answer.status_code == 200
                assert answer.json() == {"key": flag, "reason": reason, "variant": ""}

    async def test_errors_have_the_codes_of_the_protocol(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, _):
            unknown = await client.post(f"{BULK}/nope", json={})
            assert (unknown.status_code, unknown.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")
            assert unknown.json()["key"] == "nope"
            for body in (b"{", b"[]", b"\xff", b'"x"'):
                one = await client.post(f"{BULK}/cacheEnabled", content=body)
                assert (one.status_code, one.json()["errorCode"], one.json()["key"]) == (
                    400,
                    "PARSE_ERROR",
                    "cacheEnabled",
                )
                every = await client.post(BULK, content=body)
                assert (every.status_code, every.json()["errorCode"]) == (400, "PARSE_ERROR")
            for context in (7, "x", [], True, {"targetingKey": 5}):
                one = await client.post(f"{BULK}/cacheEnabled", json={"context": context})
                assert (one.status_code, one.json()["errorCode"]) == (400, "INVALID_CONTEXT")
                every = await client.post(BULK, json={"context": context})
                assert (every.status_code, every.json()["errorCode"]) == (400, "INVALID_CONTEXT")

    async def test_a_key_may_have_any_characters(self, tmp_path: Path) -> None:
        key = "shop/ä b?#%2F"
        flag_set = flags_of({"flags": {key: MIXED["flags"]["limit"]}})
        async with served(tmp_path, flag_set) as (client, _):
            answer = await client.post(f"{BULK}/{quote(key, safe='')}")
        assert (answer.status_code, answer.json()["value"]) == (200, 99)


class TestBulk:
    async def test_all_flags_with_an_entity_tag(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, flags):
            answer = await client.post(BULK, json={"context": {}})
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["etag"] == f'"{flags.version}"'
            assert {flag["key"]: flag["value"] for flag in answer.json()["flags"]} == FIVE

    async def test_what_has_not_changed_is_not_sent_again(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, flags):
            tag = (await client.post(BULK)).headers["etag"]
            for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = await client.post(BULK, headers={"If-None-Match": sent})
                assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            changed = await client.post(BULK, headers={"If-None-Match": tag})
            assert changed.status_code == 200
            assert changed.headers["etag"] != tag

    async def test_the_tag_survives_a_restart(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, flags):
            await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            tag = (await client.post(BULK)).headers["etag"]
        async with served(tmp_path) as (client, _):
            assert (await client.post(BULK, headers={"If-None-Match": tag})).status_code == 304

    async def test_the_configuration_says_that_polling_is_welcome(self, tmp_path: Path) -> None:
        async with served(tmp_path) as (client, _):
            answer = await client.get("/ofrep/v1/configuration")
            assert answer.json()["name"] == "homeostat"
            assert answer.json()["capabilities"]["cacheInvalidation"]["polling"]["enabled"] is True
            again = await client.get("/ofrep/v1/configuration", headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304


class TestTargeting:
    @pytest.fixture(autouse=True)
    def _core(self) -> None:
        pytest.importorskip("openfeature.contrib.tools.flagd.core", reason="openfeature-flagd-core is not installed")

    async def test_a_rule_decides_by_the_context(self, tmp_path: Path) -> None:
        async with served(tmp_path, flags_of(TARGETED)) as (client, _):
            inside = (await client.post(f"{BULK}/beta", json={"context": {"email": "a@example.com"}})).json()
            outside = (await client.post(f"{BULK}/beta", json={"context": {"email": "a@other.org"}})).json()
        assert (inside["value"], inside["variant"], inside["reason"]) == (True, "on", "TARGETING_MATCH")
        assert (outside["value"], outside["variant"], outside["reason"]) == (False, "off", "DEFAULT")

    async def test_the_tag_of_a_bulk_answer_is_that_of_its_context(self, tmp_path: Path) -> None:
        async with served(tmp_path, flags_of(TARGETED)) as (client, _):
            inside = await client.post(BULK, json={"context": {"email": "a@example.com"}})
            tag = inside.headers["etag"]
            outside = await client.post(BULK, json={"context": {"email": "b@x.org"}}, headers={"If-None-Match": tag})
            again = await client.post(
                BULK, json={"context": {"email": "c@example.com"}}, headers={"If-None-Match": tag}
            )
        assert (outside.status_code, again.status_code) == (200, 304)

    async def test_a_flag_that_was_set_is_set_for_everybody(self, tmp_path: Path) -> None:
        async with served(tmp_path, flags_of(TARGETED)) as (client, flags):
            await flags.set("beta", True, reason="", triggered_by="alice")
            outside = (await client.post(f"{BULK}/beta", json={"context": {"email": "a@other.org"}})).json()
        assert (outside["value"], outside["reason"]) == (True, "STATIC")

    async def test_a_rule_that_fails_for_a_context_is_an_error_of_that_flag_only(self, tmp_path: Path) -> None:
        async with served(tmp_path, flags_of(TARGETED)) as (client, _):
            context = {"age": 1, "email": "a@example.com"}
            one = await client.post(f"{BULK}/broken", json={"context": context})
            assert (one.status_code, one.json()["errorCode"]) == (400, "GENERAL")
            every = {
                flag["key"]: flag for flag in (await client.post(BULK, json={"context": context})).json()["flags"]
            }
        assert every["broken"]["errorCode"] == "GENERAL"
        assert every["beta"]["value"] is True


class TestItsOwnClient:
    async def test_the_openfeature_provider_reads_every_flag(self, tmp_path: Path) -> None:
        provider = pytest.importorskip(
            "openfeature.contrib.provider.ofrep", reason="openfeature-provider-ofrep is not installed"
        )
        api = pytest.importorskip("openfeature.api")

        async with served(tmp_path, flags_of(MIXED)) as (client, _):
            api.set_provider(provider.OFREPProvider(base_url=str(client.base_url)), domain=str(tmp_path))
            reader = api.get_client(domain=str(tmp_path))

            def read() -> tuple[Any, ...]:
                missing = reader.get_boolean_details("nope", True)
                return (
                    reader.get_string_value("colour", "none"),
                    reader.get_integer_value("limit", 0),
                    reader.get_float_value("ratio", 0.0),
                    reader.get_object_value("shape", {}),
                    reader.get_boolean_details("gone", True).value,
                    reader.get_boolean_details("gone", True).reason,
                    (missing.value, missing.error_code),
                )

            found = await anyio.to_thread.run_sync(read)
        assert found[:-1] == ("red", 99, 0.5, {"a": [1, 2]}, True, "DISABLED")
        assert found[-1] == (True, "FLAG_NOT_FOUND")
