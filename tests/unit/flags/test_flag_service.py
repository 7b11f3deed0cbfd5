"""Flags are changed, audited, told of, and put back to what they were meant to be."""

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from dynatrace_double import Dynatrace

from homeostat.core.config import DynatraceConfig
from homeostat.core.errors import BadRequestError, NotFoundError, StoreError
from homeostat.core.models import FlagChange
from homeostat.core.ports import FlagControl, StateStore
from homeostat.flags import FlagService, load_flags
from homeostat.flags.definitions import built_in_flags
from homeostat.runtime import SystemClock, SystemIds
from homeostat.store.state import open_state

CONTRACT = {
    "errorInjectionEnabled": True,
    "slowResponsesEnabled": True,
    "circuitBreakerEnabled": False,
    "rateLimitingEnabled": False,
    "cacheEnabled": True,
}


def service(store: StateStore, **options: object) -> FlagService:
    return FlagService(store, SystemClock(), SystemIds(), **options)  # pyright: ignore[reportArgumentType]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.01)


class TestValues:
    async def test_the_five_flags_have_the_values_of_the_contract(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            assert flags.values() == CONTRACT
            assert flags.armed() == CONTRACT
            assert list(flags.values()) == list(CONTRACT)

    async def test_every_built_in_flag_says_what_it_does(self) -> None:
        assert all(flag.description for flag in built_in_flags().flags.values())

    async def test_a_change_is_seen_at_once_and_after_a_restart(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            change = await flags.set(
                "cacheEnabled", False, reason="stale prices", triggered_by="alice", problem_id="P-1"
            )
            assert (change.previous_value, change.new_value, change.problem_id) == (True, False, "P-1")
            assert flags.values()["cacheEnabled"] is False
        async with service(store).opened() as flags:
            assert flags.values() == {**CONTRACT, "cacheEnabled": False}
            assert await flags.latest_changes() == [change]

    async def test_only_a_service_that_asks_counts_as_one_that_asked(self, store: StateStore) -> None:
        began = SystemClock().now()
        async with service(store).opened() as flags:
            await flags.set("cacheEnabled", False, reason="stale prices", triggered_by="alice")
            assert flags.values()["cacheEnabled"] is False
            assert not flags.asked_since(began)  # neither starting nor a change nor looking at it
            flags.evaluate_all({})
            assert flags.asked_since(began)
            later = SystemClock().now()
            assert not flags.asked_since(later + timedelta(seconds=1))
            flags.evaluate("cacheEnabled", {})
            assert flags.asked_since(later)

    async def test_changes_come_oldest_first(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            first = await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            second = await flags.set("cacheEnabled", True, reason="", triggered_by="alice")
            assert await flags.changes(first.time) == [first, second]
            assert await flags.changes(second.time) == [second]

    async def test_an_unknown_flag_is_not_found_and_the_known_ones_are_named(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            with pytest.raises(NotFoundError, match="errorInjectionEnabled"):
                await flags.set("nope", True, reason="", triggered_by="alice")

    async def test_it_is_what_the_flags_driver_asks_for(self, store: StateStore) -> None:
        control: FlagControl = service(store)
        assert control is not None

    async def test_what_cannot_be_recorded_does_not_change(self, tmp_path: Path) -> None:
        async with open_state(tmp_path / "s.db", SystemClock()).opened() as store, service(store).opened() as flags:
            inner = store
            await inner._writer.stop()  # pyright: ignore
            with pytest.raises(StoreError):
                await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            assert flags.values() == CONTRACT


class TestInitialValues:
    async def test_they_count_for_flags_that_were_never_changed(self, store: StateStore) -> None:
        async with service(store, initial={"errorInjectionEnabled": False, "cacheEnabled": False}).opened() as flags:
            await flags.set("cacheEnabled", True, reason="", triggered_by="alice")
        async with service(store, initial={"errorInjectionEnabled": False, "cacheEnabled": False}).opened() as flags:
            assert flags.values() == {**CONTRACT, "errorInjectionEnabled": False, "cacheEnabled": True}
            assert flags.armed() == {**CONTRACT, "errorInjectionEnabled": False, "cacheEnabled": True}

    async def test_an_unknown_one_is_refused_before_anything_starts(self, store: StateStore) -> None:
        with pytest.raises(NotFoundError, match="nope"):
            service(store, initial={"nope": True})

    async def test_what_healing_finds_is_what_was_meant(self, store: StateStore) -> None:
        async with service(store, initial={"rateLimitingEnabled": True}).opened() as flags:
            await flags.set("rateLimitingEnabled", False, reason="heal", triggered_by="homeostat")
        async with service(store).opened() as flags:  # started without the initial value
            assert flags.values()["rateLimitingEnabled"] is False
            assert flags.armed()["rateLimitingEnabled"] is True


class TestArmed:
    async def test_healing_changes_the_value_and_not_what_is_meant(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            await flags.set("errorInjectionEnabled", False, reason="heal", triggered_by="homeostat")
            assert flags.values()["errorInjectionEnabled"] is False
            assert flags.armed()["errorInjectionEnabled"] is True
        async with service(store).opened() as flags:
            assert flags.armed()["errorInjectionEnabled"] is True
            await flags.set("errorInjectionEnabled", True, reason="recover", triggered_by="homeostat")
            assert flags.values() == flags.armed() == CONTRACT

    async def test_a_person_decides_what_is_meant_also_while_healing_holds_the_flag(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            await flags.set("errorInjectionEnabled", False, reason="heal", triggered_by="homeostat")
            await flags.set("errorInjectionEnabled", False, reason="leave it off", triggered_by="alice")
            assert flags.armed()["errorInjectionEnabled"] is False
        async with service(store).opened() as flags:
            assert flags.armed()["errorInjectionEnabled"] is False


class TestVersion:
    async def test_it_changes_with_every_change_even_back_to_an_old_value(self, store: StateStore) -> None:
        seen: list[str] = []
        async with service(store).opened() as flags:
            seen.append(flags.version)
            for value in (False, True, True):
                await flags.set("cacheEnabled", value, reason="", triggered_by="alice")
                seen.append(flags.version)
        assert len(set(seen)) == 4

    async def test_a_restart_keeps_it(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            version = flags.version
        async with service(store).opened() as flags:
            assert flags.version == version

    async def test_other_definitions_are_another_version(self, store: StateStore, tmp_path: Path) -> None:
        file = tmp_path / "flags.json"
        file.write_text(
            '{"flags":{"a":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"on"}}}'
        )
        async with service(store).opened() as flags, service(store, definitions=load_flags(file)).opened() as others:
            assert flags.version != others.version
            assert others.values() == {"a": True}


class TestEvents:
    async def test_without_credentials_the_flag_changes_and_says_so(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            outcome = await flags.change("cacheEnabled", False, reason="", triggered_by="alice")
            event = await outcome.event(within_s=2)
            assert event.model_dump(exclude_none=True) == {"success": False, "reason": "no_credentials"}
            assert (outcome.change.event_sent, outcome.change.event_detail) == (False, "no_credentials")

    async def test_the_event_carries_every_property(self, store: StateStore, dynatrace: Dynatrace) -> None:
        config = DynatraceConfig(environment=dynatrace.url + "/", token="dt0c01.secret")
        async with service(store, dynatrace=config).opened() as flags:
            outcome = await flags.change(
                "errorInjectionEnabled",
                False,
                reason="too many errors",
                triggered_by="Dynatrace Workflow",
                problem_id="P-7",
            )
            event = await outcome.event(within_s=5)
            assert event.model_dump(exclude_none=True) == {
                "success": True,
                "status": 201,
                "body": '{"reportCount":1}',
            }
        path, authorization, sent = dynatrace.received[0]
        assert (path, authorization) == ("/api/v2/events/ingest", "Api-Token dt0c01.secret")
        version = outcome.change.time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        assert sent == {
            "eventType": "CUSTOM_DEPLOYMENT",
            "title": "Feature Flag Changed: errorInjectionEnabled",
            "timeout": 15,
            "entitySelector": 'type("PROCESS_GROUP_INSTANCE"),entityName.equals("BizObs-MainServer")',
            "properties": {
                "deployment.name": "Feature Flag: errorInjectionEnabled",
                "deployment.version": version,
                "deployment.source": "Dynatrace Workflow",
                "feature.flag": "errorInjectionEnabled",
                "previous.value": "true",
                "new.value": "false",
                "change.reason": "too many errors",
                "triggered.by": "Dynatrace Workflow",
                "problem.id": "P-7",
                "remediation.type": "feature_flag_toggle",
                "application": "BizObs",
            },
        }

    async def test_without_credentials_the_event_is_kept_with_every_property(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            change = await flags.set("errorInjectionEnabled", False, reason="", triggered_by="homeostat")
            back = await flags.set("errorInjectionEnabled", True, reason="well again", triggered_by="homeostat")
        async with service(store).opened() as flags:
            kept = await flags.latest_changes()
        assert kept == [back, change]
        assert change.event is not None
        assert back.event is not None
        assert (change.event.eventType, change.event.timeout) == ("CUSTOM_DEPLOYMENT", 15)
        assert change.event.properties == {
            "deployment.name": "Feature Flag: errorInjectionEnabled",
            "deployment.version": change.time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "deployment.source": "homeostat",
            "feature.flag": "errorInjectionEnabled",
            "previous.value": "true",
            "new.value": "false",
            "change.reason": "Not specified",
            "triggered.by": "homeostat",
            "problem.id": "N/A",
            "remediation.type": "feature_flag_toggle",
            "application": "BizObs",
        }
        assert back.event.properties["remediation.type"] == "auto_recovery"

    async def test_a_change_from_before_events_were_kept_can_be_read(self) -> None:
        old = '{"id":"flag-1","time":"2026-01-01T00:00:00Z","flag":"a","previous_value":true,"new_value":false,'
        change = FlagChange.model_validate_json(old + '"reason":"","triggered_by":"ann"}')
        assert change.event is None

    async def test_the_audit_and_the_bus_learn_what_became_of_it(
        self, store: StateStore, dynatrace: Dynatrace
    ) -> None:
        told: list[tuple[str, dict[str, object]]] = []
        config = DynatraceConfig(environment=dynatrace.url, token="t")
        options = {"dynatrace": config, "publish": lambda topic, data: told.append((topic, data))}
        async with service(store, **options).opened() as flags:
            change = await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
            assert (change.event_sent, change.event_detail) == (False, "pending")
            await until(lambda: len(told) == 2)
            [audited] = await flags.latest_changes()
        assert audited == change.model_copy(update={"event_sent": True, "event_detail": "HTTP 201"})
        assert [topic for topic, _ in told] == ["flags", "flags"]
        assert [FlagChange.model_validate(data) for _, data in told] == [change, audited]

    @pytest.mark.parametrize(
        ("environ", "sent"),
        [
            ({"DT_ENVIRONMENT": "{url}", "DT_PLATFORM_TOKEN": "a"}, "Api-Token a"),
            ({"DYNATRACE_URL": "{url}", "DYNATRACE_TOKEN": "b"}, "Api-Token b"),
            ({"DT_ENVIRONMENT": "{url}", "DYNATRACE_TOKEN": "c"}, "Api-Token c"),
        ],
    )
    async def test_credentials_may_come_from_the_environment(
        self, store: StateStore, dynatrace: Dynatrace, environ: dict[str, str], sent: str
    ) -> None:
        filled = {name: value.format(url=dynatrace.url) for name, value in environ.items()}
        async with service(store, environ=filled).opened() as flags:
            outcome = await flags.change("cacheEnabled", False, reason="", triggered_by="alice")
            assert (await outcome.event(within_s=5)).success
        assert dynatrace.received[0][1] == sent

    async def test_a_request_may_bring_its_own(self, store: StateStore, dynatrace: Dynatrace) -> None:
        config = DynatraceConfig(environment="http://127.0.0.1:9", token="configured")
        async with service(store, dynatrace=config).opened() as flags:
            outcome = await flags.change(
                "cacheEnabled", False, reason="", triggered_by="alice", environment=dynatrace.url, token="own"
            )
            assert (await outcome.event(within_s=5)).success
        assert dynatrace.received[0][1] == "Api-Token own"

    async def test_the_configured_token_never_goes_to_an_environment_that_a_request_names(
        self, store: StateStore, dynatrace: Dynatrace
    ) -> None:
        config = DynatraceConfig(environment="https://abc.live.dynatrace.com", token="configured")
        async with service(store, dynatrace=config).opened() as flags:
            outcome = await flags.change(
                "cacheEnabled", False, reason="", triggered_by="alice", environment=dynatrace.url
            )
            event = await outcome.event(within_s=5)
            assert event.success is False
            assert "dtToken" in (event.reason or "")
            assert flags.values()["cacheEnabled"] is False
        assert dynatrace.received == []

    @pytest.mark.parametrize(
        "environment",
        [
            "file:///etc/passwd",
            "ftp://x",
            "//x",
            "javascript:1",
            "http://",
            "http://u:p@x",
            "http://x/?a=",
            "http://[x",
            "http://x:99999",
        ],
    )
    async def test_an_environment_must_be_a_web_address(self, store: StateStore, environment: str) -> None:
        async with service(store).opened() as flags:
            outcome = await flags.change(
                "cacheEnabled", False, reason="", triggered_by="alice", environment=environment, token="t"
            )
            event = await outcome.event(within_s=5)
            assert event.success is False
            assert (event.reason or "").startswith("invalid_environment")
            assert flags.values()["cacheEnabled"] is False

    async def test_a_redirect_is_not_followed(self, store: StateStore, dynatrace: Dynatrace) -> None:
        dynatrace.status, dynatrace.location = 307, dynatrace.url + "/elsewhere"
        config = DynatraceConfig(environment=dynatrace.url, token="t")
        async with service(store, dynatrace=config).opened() as flags:
            outcome = await flags.change("cacheEnabled", False, reason="", triggered_by="alice")
            event = await outcome.event(within_s=5)
        assert (event.success, event.status) == (False, 307)
        assert len(dynatrace.received) == 1

    async def test_a_refusal_is_told(self, store: StateStore, dynatrace: Dynatrace) -> None:
        dynatrace.status, dynatrace.answer = 403, "x" * 100_000
        config = DynatraceConfig(environment=dynatrace.url, token="t")
        async with service(store, dynatrace=config).opened() as flags:
            outcome = await flags.change("cacheEnabled", False, reason="", triggered_by="alice")
            event = await outcome.event(within_s=5)
        assert (event.success, event.status, len(event.body or "")) == (False, 403, 2048)

    async def test_nobody_listening_is_a_result(self, store: StateStore) -> None:
        config = DynatraceConfig(environment="http://127.0.0.1:9", token="t")
        async with service(store, dynatrace=config).opened() as flags:
            outcome = await flags.change("cacheEnabled", False, reason="", triggered_by="alice")
            event = await outcome.event(within_s=5)
        assert event.success is False
        assert (event.reason or "").startswith("unreachable")

    async def test_a_slow_dynatrace_delays_nothing(self, store: StateStore, dynatrace: Dynatrace) -> None:
        dynatrace.gate.clear()
        config = DynatraceConfig(environment=dynatrace.url, token="t")
        async with service(store, dynatrace=config).opened() as flags:
            start = time.monotonic()
            change = await flags.set("cacheEnabled", False, reason="", triggered_by="homeostat")
            took = time.monotonic() - start
            assert flags.values()["cacheEnabled"] is False
            outcome = await flags.change("cacheEnabled", True, reason="", triggered_by="alice")
            event = await outcome.event(within_s=0.1)
            assert event.reason == "pending"
            dynatrace.gate.set()
            assert (await outcome.event(within_s=5)).success
            await until(lambda: len(dynatrace.received) == 2)
        assert took < 1.0, f"took {took:.2f} s"
        assert change.new_value is False

    async def test_closing_does_not_wait_for_ever(self, store: StateStore, dynatrace: Dynatrace) -> None:
        dynatrace.gate.clear()
        config = DynatraceConfig(environment=dynatrace.url, token="t")
        start = time.monotonic()
        async with service(store, dynatrace=config).opened() as flags:
            await flags.set("cacheEnabled", False, reason="", triggered_by="alice")
        assert time.monotonic() - start < 5
        async with service(store).opened() as flags:
            [change] = await flags.latest_changes()
            assert change.event_sent is False
            assert change.event_detail.startswith("unknown: Homeostat stopped")

    async def test_a_caller_that_goes_away_leaves_nothing_half_done(self, store: StateStore) -> None:
        async with service(store).opened() as flags:
            for value in (False, True) * 10:
                with anyio.move_on_after(0.0001):
                    await flags.set("cacheEnabled", value, reason="", triggered_by="alice")
                stored = (await store.flag_values()).get("cacheEnabled", True)
                assert flags.values()["cacheEnabled"] is stored

    async def test_recovery_is_told_as_recovery(self, store: StateStore, dynatrace: Dynatrace) -> None:
        config = DynatraceConfig(environment=dynatrace.url, token="t")
        async with service(store, dynatrace=config).opened() as flags:
            for value in (False, True):
                outcome = await flags.change("cacheEnabled", value, reason="", triggered_by="homeostat")
                await outcome.event(within_s=5)
        kinds = [event["properties"]["remediation.type"] for event in dynatrace.events]  # pyright: ignore
        assert kinds == ["feature_flag_toggle", "auto_recovery"]


async def test_a_flag_without_a_boolean_cannot_be_switched(store: StateStore, tmp_path: Path) -> None:
    file = tmp_path / "flags.json"
    file.write_text(
        '{"flags":{"colour":{"state":"ENABLED","variants":{"r":"red","b":"blue"},"defaultVariant":"r"},'
        '"off":{"state":"DISABLED","variants":{"on":true},"defaultVariant":"on"}}}'
    )
    async with service(store, definitions=load_flags(file)).opened() as flags:
        assert flags.values() == {}
        for flag in ("colour", "off"):
            with pytest.raises(BadRequestError, match="cannot be switched"):
                await flags.set(flag, True, reason="", triggered_by="alice")
