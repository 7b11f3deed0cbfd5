"""The world as real processes: traces, flags that act, faults, and an end that leaves nothing behind."""

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
import pytest

from homeostat.core.errors import ActionError, BadRequestError, NotFoundError
from homeostat.world.client import PidConflictError, WorldClient
from homeostat.world.config import GeneratorConfig, WorldConfig
from homeostat.world.journeys import service_names
from homeostat.world.launch import WorldHandle, launch_world
from support.homeostat_double import ALL_OFF, HomeostatDouble, SeenSpan

pytestmark = pytest.mark.e2e

QUIET = GeneratorConfig(enabled=False)
BUSY = GeneratorConfig(interval_ms=200, batch_size=6, timeout_ms=2_000)
SHOP_STEPS = ("Browse Products", "Add to Cart", "Checkout", "Payment", "Order Confirmation")
SHOP = {
    "name": "E-Commerce Journey",
    "steps": [
        {"stepName": name, "serviceName": service}
        for name, service in zip(
            SHOP_STEPS,
            ("ProductCatalog", "ShoppingCart", "CheckoutService", "PaymentProcessor", "OrderService"),
            strict=True,
        )
    ],
}


@pytest.fixture(scope="module")
def double() -> Iterator[HomeostatDouble]:
    double = HomeostatDouble()
    double.start()
    yield double
    double.close()


@pytest.fixture
def homeostat(double: HomeostatDouble) -> HomeostatDouble:
    """With every flag where nothing is wrong."""
    double.flags = dict(ALL_OFF)
    return double


Launch = Callable[..., Awaitable[WorldHandle]]


@pytest.fixture
async def launch(tmp_path: Path, homeostat: HomeostatDouble) -> AsyncIterator[Launch]:
    """Starts worlds that talk to the double; every one is stopped at the end."""
    started: list[WorldHandle] = []

    async def start(generator: GeneratorConfig = QUIET, **settings: Any) -> WorldHandle:
        config = WorldConfig(
            run_dir=settings.pop("run_dir", tmp_path / "world"),
            otlp_endpoint=homeostat.url,
            flags_url=homeostat.url,
            generator=generator,
            export_interval_ms=settings.pop("export_interval_ms", 100),
            flags_poll_ms=100,
            **settings,
        )
        started.append(await launch_world(config))
        return started[-1]

    yield start
    for handle in started:
        await handle.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, double: HomeostatDouble) -> Iterator[WorldHandle]:
    """One world for the tests that leave it as they found it: starting one costs a second of CPU."""
    config = WorldConfig(
        run_dir=tmp_path_factory.mktemp("world"),
        otlp_endpoint=double.url,
        flags_url=double.url,
        generator=QUIET,
        error_customers=("Umbrella Corporation",),
        rate_limit_per_s=3,
        export_interval_ms=100,
        flags_poll_ms=100,
    )
    handle = anyio.run(launch_world, config)
    yield handle
    anyio.run(handle.stop)


@pytest.fixture
async def world(shared: WorldHandle, homeostat: HomeostatDouble) -> AsyncIterator[WorldHandle]:
    """The shared world, whole: all services alive, none slowed, all flags as the double has them."""
    async with WorldClient(shared.url) as client:
        world = replace(shared, client=client)
        for service in await client.services():
            if service.pid is None:
                await client.restart(service.name)
            elif service.state == "slowed":
                await client.unslow(service.name)
        await flags_arrive(world, homeostat)
        yield world


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 8.0, what: str = "") -> float:
    """Seconds until the condition held; fails the test when it does not in time."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < timeout_s, f"{what or 'the condition'} did not hold within {timeout_s} s"
        await anyio.sleep(0.03)
    return time.monotonic() - began


async def simulate(world: WorldHandle, **body: Any) -> dict[str, Any]:
    answer = await world.client.simulate({"thinkTimeMs": 0, "customerName": "Alice Johnson", "journey": SHOP, **body})
    assert answer["success"] is True
    return answer["journey"]  # type: ignore[return-value]


async def flags_arrive(world: WorldHandle, homeostat: HomeostatDouble) -> float:
    """Wait until every service has the double's present flags; the time it took."""
    ports = [service.port for service in await world.client.services()]

    async def arrived() -> bool:
        async with httpx2.AsyncClient(timeout=5) as client:
            told = [(await client.get(f"http://127.0.0.1:{port}/health")).json()["flags"] for port in ports]
        return all(flags == homeostat.flags for flags in told)

    return await eventually(arrived, what="the flags")


def trace(spans: list[SeenSpan], trace_id: str) -> list[SeenSpan]:
    return [span for span in spans if span.trace_id == trace_id]


# -- one journey ------------------------------------------------------------------------------------------------


async def test_one_customers_journey_is_one_trace_across_real_processes(
    world: WorldHandle, homeostat: HomeostatDouble
) -> None:
    services = await world.client.services()
    assert {service.name for service in services} >= set(service_names())
    assert len({service.pid for service in services}) == len(services)

    journey = await simulate(world)
    assert (journey["status"], journey["completedSteps"]) == ("completed", 5)
    spans = homeostat.wait_for(lambda seen: len(trace(seen, journey["traceId"])) == 11)
    spans = trace(spans, journey["traceId"])
    by_id = {span.span_id: span for span in spans}
    root = next(span for span in spans if not span.parent_id)
    assert (root.name, root.service, root.kind) == ("journey E-Commerce Journey", "customers", 1)
    order = next(span for span in spans if span.service == "OrderService")
    way = [order]
    while way[-1].parent_id:
        way.append(by_id[way[-1].parent_id])
    assert [(span.service, span.kind) for span in reversed(way)] == [
        ("customers", 1), ("customers", 3), ("ProductCatalog", 2), ("ProductCatalog", 3), ("ShoppingCart", 2),
        ("ShoppingCart", 3), ("CheckoutService", 2), ("CheckoutService", 3), ("PaymentProcessor", 2),
        ("PaymentProcessor", 3), ("OrderService", 2),
    ]  # fmt: skip
    assert order.name == "POST /process/order-confirmation"
    assert order.attributes["http.response.status_code"] == 200
    assert order.attributes["journey.step"] == "Order Confirmation"
    assert order.attributes["customer.name"] == "Alice Johnson"
    assert not any(span.error for span in spans)


async def test_an_error_in_the_middle_shows_all_the_way_up_and_nothing_behind_it_runs(
    world: WorldHandle, homeostat: HomeostatDouble
) -> None:
    homeostat.flags["errorInjectionEnabled"] = True
    await flags_arrive(world, homeostat)
    never = {"likelihood": 0}  # else Umbrella's own errors might come first
    steps = [{**step, "errorHint": never} for step in SHOP["steps"]]  # type: ignore[dict-item]
    steps[2]["errorHint"] = {"type": "payment_gateway_timeout", "httpStatus": 429, "force": True}
    journey = await simulate(
        world, customerName="Umbrella Corporation", journey={**SHOP, "steps": steps, "provider": "me"}
    )
    assert journey["status"] == "failed"
    assert journey["completedSteps"] == 2
    assert [step["status"] for step in journey["steps"]] == ["completed", "completed", "failed", "skipped", "skipped"]
    assert [step["httpStatus"] for step in journey["steps"]] == [200, 200, 429, None, None]
    assert [step.get("answeredStatus") for step in journey["steps"]] == [502, 502, 429, None, None]
    failed = journey["steps"][2]
    assert (failed["hasError"], failed["errorType"], failed["retryable"], failed["severity"]) == (
        True, "payment_gateway_timeout", True, "warning",
    )  # fmt: skip
    spans = trace(homeostat.wait_for(lambda seen: len(trace(seen, journey["traceId"])) == 7), journey["traceId"])
    assert all(span.error for span in spans)
    servers = {span.service: span.attributes["http.response.status_code"] for span in spans if span.kind == 2}
    assert servers == {"ProductCatalog": 502, "ShoppingCart": 502, "CheckoutService": 429}


async def test_context_and_correlation_come_in_and_go_out(world: WorldHandle, homeostat: HomeostatDouble) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "x-correlation-id": "corr-1"}
    async with httpx2.AsyncClient(base_url=world.url) as client:
        answer = await client.post(
            "/api/journey-simulation/simulate-journey", json={"journey": SHOP, "thinkTimeMs": 0}, headers=headers
        )
    assert answer.headers["x-correlation-id"] == "corr-1"
    journey = answer.json()["journey"]
    assert (journey["correlationId"], journey["traceId"]) == ("corr-1", trace_id)
    spans = trace(homeostat.wait_for(lambda seen: len(trace(seen, trace_id)) == 11), trace_id)
    assert [span.service for span in spans if span.parent_id == "b7ad6b7169203331"] == ["customers"]


async def test_unchained_the_customer_calls_each_service(world: WorldHandle, homeostat: HomeostatDouble) -> None:
    journey = await simulate(world, chained=False)
    assert journey["completedSteps"] == 5
    spans = trace(homeostat.wait_for(lambda seen: len(trace(seen, journey["traceId"])) == 11), journey["traceId"])
    assert sum(span.kind == 3 and span.service == "customers" for span in spans) == 5


# -- the journey API --------------------------------------------------------------------------------------------


async def test_the_journey_api_speaks_the_originals_field_names(world: WorldHandle) -> None:
    async with httpx2.AsyncClient(base_url=f"{world.url}/api/journey-simulation", timeout=20) as client:
        one = await client.post("/simulate-journey", json={"journeyId": "j1", "customerId": "c1", "thinkTimeMs": 0})
        journey = one.json()["journey"]
        assert set(journey) >= {
            "journeyId", "customerId", "correlationId", "status", "totalSteps", "completedSteps", "stepNames",
            "steps",
            "additionalFields", "customerProfile", "traceMetadata", "sources", "provider", "continuousGeneration",
        }  # fmt: skip
        assert (journey["journeyId"], journey["customerId"], journey["totalSteps"]) == ("j1", "c1", 6)
        assert journey["steps"][3].items() >= {"stepName": "Purchase", "serviceName": "PurchaseService"}.items()
        assert "transactionValue" not in journey["additionalFields"]  # nobody said what it is worth

        many = await client.post(
            "/simulate-multiple-journeys", json={"customers": 3, "thinkTimeMs": 0, "journey": SHOP}
        )
        told = many.json()
        assert told["success"] is True
        assert told["loadTestSummary"]["customersProcessed"] == 3
        assert told["loadTestSummary"]["successRate"] == "100.0%"
        assert told["loadTestSummary"]["averageStepsCompleted"] == 5
        assert len(set(told["correlationIds"])) == 3
        assert len(told["detailedResults"]) == 3
        assert told["sampleJourney"]["servicesUsed"].startswith("ProductCatalog → ShoppingCart")

        batch = await client.post("/simulate-batch-chained", json={"customers": 2, "thinkTimeMs": 0, "journey": SHOP})
        assert batch.json()["ok"] is True
        assert batch.json()["summary"] == {"customers": 2, "completed": 2, "failed": 0}
        assert [entry["httpStatus"] for entry in batch.json()["sample"]] == [200, 200]

        for path, flag in (("/simulate-batch-chained", "ok"), ("/simulate-multiple-journeys", "success")):
            refused = await client.post(path, json={"customers": 6, "journey": SHOP})
            assert refused.status_code == 400
            assert refused.json() == {
                flag: False,
                "error": "Customer limit exceeded. Maximum allowed: 5, requested: 6",
                "maxCustomers": 5,
                "requestedCustomers": 6,
            }
        assert (await client.post("/simulate-multiple-journeys", json={"customers": 1})).status_code == 400
        bad = await client.post("/simulate-journey", content=b"{oops")
        assert (bad.status_code, bad.json()["success"]) == (400, False)


async def test_money_that_the_caller_names_is_revenue_or_lost(world: WorldHandle, homeostat: HomeostatDouble) -> None:
    before = await world.client.stats()
    paid = await simulate(world, additionalFields={"transactionValue": 12.5})
    assert paid["additionalFields"].items() >= {"revenue": 12.5, "revenueLost": 0.0, "currency": "USD"}.items()
    after = await world.client.stats()
    assert round(after.revenue - before.revenue, 2) == 12.5
    assert (after.revenue_lost, after.journeys) == (before.revenue_lost, before.journeys + 1)
    await world.client.kill("OrderService")
    lost = await simulate(world, additionalFields={"orderTotal": 7})
    assert lost["additionalFields"].items() >= {"revenue": 0.0, "revenueLost": 7.0, "hasError": True}.items()
    assert lost["steps"][4]["errorType"] == "connection_refused"
    assert round((await world.client.stats()).revenue_lost - before.revenue_lost, 2) == 7.0


async def test_new_services_start_on_demand_until_the_world_is_full(launch: Launch) -> None:
    world = await launch()
    steps = [{"name": f"Step {number}", "serviceName": f"New/../Service {number}"} for number in range(6)]
    assert (await simulate(world, journey={"steps": steps}))["completedSteps"] == 6
    names = [service.name for service in await world.client.services()]
    assert "NewService0" in names
    assert len(list(world.run_dir.glob("*.pid"))) == 15
    more = [{"name": f"More {number}"} for number in range(6)]
    await simulate(world, journey={"steps": more})
    with pytest.raises(BadRequestError, match="takes no more"):
        await world.client.simulate({"journey": {"steps": [{"name": f"Full {number}"} for number in range(6)]}})


async def test_pages_from_elsewhere_may_not_control_the_world(world: WorldHandle) -> None:
    pid = (await world.client.service("OrderService")).pid
    async with httpx2.AsyncClient(base_url=world.url) as client:
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}, {"origin": "null"}):
            refused = await client.post("/world/services/OrderService/kill", headers=headers)
            assert refused.status_code == 403
        own = await client.get("/world", headers={"origin": "http://127.0.0.1:4000"})
        assert own.status_code == 200
    assert (await world.client.service("OrderService")).pid == pid


# -- the flags --------------------------------------------------------------------------------------------------


async def test_error_injection_acts_within_a_second_in_both_directions(
    launch: Launch, homeostat: HomeostatDouble
) -> None:
    world = await launch(BUSY, seed=5, error_scope="step")

    async def recent_errors() -> int:
        stats = await world.client.stats()
        return sum(second.errors for second in stats.seconds if second.second_unix >= int(stats.now_unix))

    await eventually(lambda: _journeys(world, 20))
    assert (await world.client.stats()).errors == 0
    homeostat.flags["errorInjectionEnabled"] = True
    assert await flags_arrive(world, homeostat) < 2.0  # 0.4 s where nothing else runs

    async def errors_came() -> bool:
        return (await world.client.stats()).errors > 10

    await eventually(errors_came)
    homeostat.flags["errorInjectionEnabled"] = False
    assert await flags_arrive(world, homeostat) < 2.0  # 0.4 s where nothing else runs
    await anyio.sleep(0.5)  # journeys that were on their way
    before = await world.client.stats()
    await eventually(lambda: _journeys(world, before.journeys + 20))
    assert (await world.client.stats()).errors == before.errors


async def _journeys(world: WorldHandle, at_least: int) -> bool:
    return (await world.client.stats()).journeys >= at_least


async def test_slow_responses_slow_the_payment_and_nothing_else(
    world: WorldHandle, homeostat: HomeostatDouble
) -> None:
    homeostat.flags["slowResponsesEnabled"] = True
    await flags_arrive(world, homeostat)
    times: list[float] = []

    async def one(number: int) -> None:
        journey = await simulate(world, journeyId=f"slow-{number}")
        assert journey["status"] == "completed"
        own = {step["serviceName"]: step["processingTime"] for step in journey["steps"]}
        times.append(own.pop("PaymentProcessor"))
        assert max(own.values()) < 500

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(one, number)
    slowed = [time_ms for time_ms in times if time_ms > 500]
    assert 2 <= len(slowed) <= 10
    assert all(790 <= time_ms <= 2_500 for time_ms in slowed)


async def test_an_open_circuit_fails_fast_and_can_be_seen_and_reset(
    world: WorldHandle, homeostat: HomeostatDouble
) -> None:
    homeostat.flags["circuitBreakerEnabled"] = True
    await flags_arrive(world, homeostat)
    await world.client.kill("OrderService")
    # Journeys of another test may still be under way and count as well: the circuit opens after five at the latest.
    kinds = [(await simulate(world))["steps"][4]["errorType"] for _ in range(5)]
    assert kinds[0] == "connection_refused"
    assert set(kinds) <= {"connection_refused", "circuit_open"}
    failed = (await simulate(world))["steps"]
    assert (failed[4]["errorType"], failed[3]["answeredStatus"]) == ("circuit_open", 503)
    async with httpx2.AsyncClient(base_url=f"{world.url}/api/journey-simulation/admin") as client:
        told = {item["serviceName"]: item for item in (await client.get("/circuit-breakers")).json()["breakers"]}
        assert told["OrderService"].items() >= {"state": "OPEN", "failureCount": 5, "threshold": 5}.items()
        assert told["OrderService"]["lastFailureTime"] is not None
        await world.client.restart("OrderService")
        assert (await simulate(world))["status"] == "failed"  # still open: it does not know yet
        reset = await client.post("/reset-circuit-breakers", json={"serviceName": "OrderService"})
        assert reset.json() == {"success": True, "message": "Circuit breaker reset for OrderService"}
        missing = await client.post("/reset-circuit-breakers", json={"serviceName": "Nobody"})
        assert missing.json()["success"] is False
    assert (await simulate(world))["status"] == "completed"


async def test_rate_limiting_answers_429_with_retry_after(world: WorldHandle, homeostat: HomeostatDouble) -> None:
    homeostat.flags["rateLimitingEnabled"] = True
    await flags_arrive(world, homeostat)
    outcomes = [await simulate(world) for _ in range(6)]
    limited = [journey for journey in outcomes if journey["status"] == "failed"]
    assert 1 <= len(limited) <= 3
    assert limited[0]["steps"][0].items() >= {"httpStatus": 429, "errorType": "rate_limited"}.items()
    homeostat.flags["rateLimitingEnabled"] = False
    await flags_arrive(world, homeostat)
    assert [(await simulate(world))["status"] for _ in range(6)] == ["completed"] * 6


async def test_without_the_cache_reading_takes_longer(world: WorldHandle, homeostat: HomeostatDouble) -> None:

    async def reading_ms() -> tuple[set[str], float]:
        steps = [(await simulate(world, journeyId="same"))["steps"][0] for _ in range(15)]
        return {step["cache"] for step in steps[1:]}, sorted(step["processingTime"] for step in steps)[7]

    sources, cached_ms = await reading_ms()
    assert sources == {"hit"}
    homeostat.flags["cacheEnabled"] = False
    await flags_arrive(world, homeostat)
    sources, worked_out_ms = await reading_ms()
    assert sources == {"off"}
    assert worked_out_ms > 3 * cached_ms


# -- crashes, restarts, slowness --------------------------------------------------------------------------------


def pid_in(path: Path) -> tuple[int, int]:
    pid, ticks = path.read_text().split()
    return int(pid), int(ticks)


async def test_a_killed_service_stays_dead_until_it_is_restarted_on_the_same_port(world: WorldHandle) -> None:
    before = await world.client.service("TransferService")
    path = world.pid_file("TransferService")
    assert pid_in(path)[0] == before.pid
    killed = await world.client.kill("TransferService")
    assert killed == before.pid
    dead = await world.client.service("TransferService")
    assert (dead.state, dead.pid, dead.last_pid) == ("dead", None, killed)
    assert pid_in(path)[0] == killed  # as a crash leaves it
    with pytest.raises(ActionError):
        await world.client.kill("TransferService")

    after = await world.client.restart("TransferService", expected_pid=killed)
    assert after.pid not in (None, killed)
    assert (after.port, after.restarts, after.state) == (before.port, before.restarts + 1, "running")
    pid, ticks = pid_in(path)
    assert pid == after.pid
    assert ticks == int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


async def test_a_restart_meant_for_another_process_is_refused_with_the_present_pid(world: WorldHandle) -> None:
    first = await world.client.service("AuthService")
    second = await world.client.restart("AuthService", expected_pid=first.pid)
    with pytest.raises(PidConflictError) as caught:
        await world.client.restart("AuthService", expected_pid=first.pid)
    assert caught.value.pid == second.pid
    assert (await world.client.service("AuthService")).pid == second.pid
    with pytest.raises(NotFoundError, match="AuthService"):
        await world.client.restart("NoService")


async def test_restarts_at_the_same_moment_restart_once(world: WorldHandle) -> None:
    before = await world.client.service("AuthService")
    outcomes: list[str] = []

    async def restart() -> None:
        try:
            await world.client.restart("AuthService", expected_pid=before.pid)
            outcomes.append("restarted")
        except PidConflictError:
            outcomes.append("conflict")

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(restart)
    assert sorted(outcomes) == ["conflict"] * 4 + ["restarted"]
    assert (await world.client.service("AuthService")).restarts == before.restarts + 1


async def test_a_slowed_service_is_really_slow_until_it_is_restarted(
    world: WorldHandle, homeostat: HomeostatDouble
) -> None:
    slowed = await world.client.slow("CheckoutService", stop_ms=800, run_ms=100, lease_s=60)
    assert slowed.state == "slowed"
    assert slowed.slow is not None
    began = time.monotonic()
    durations = [(await simulate(world))["additionalFields"]["journeyDurationMs"] for _ in range(4)]
    assert max(durations) > 400, durations
    assert time.monotonic() - began < 20
    # The waiting shows in the slow service's own span, not only in its caller's.
    homeostat.wait_for(
        lambda seen: any(
            span.service == "CheckoutService" and span.kind == 2 and span.duration_ms > 400 for span in seen
        )
    )
    restarted = await world.client.restart("CheckoutService", expected_pid=slowed.pid)
    assert (restarted.state, restarted.slow) == ("running", None)
    assert (await simulate(world))["additionalFields"]["journeyDurationMs"] < 400


async def test_slowness_ends_by_itself_and_on_demand_and_leaves_the_process_running(world: WorldHandle) -> None:
    slowed = await world.client.slow("OrderService", stop_ms=5_000, run_ms=10, lease_s=0.4)

    async def over() -> bool:
        return (await world.client.service("OrderService")).state == "running"

    assert await eventually(over) < 2.0
    assert slowed.pid is not None
    assert psutil.Process(slowed.pid).status() != psutil.STATUS_STOPPED
    await world.client.slow("OrderService", stop_ms=5_000, run_ms=10)
    assert await world.client.unslow("OrderService")
    assert psutil.Process(slowed.pid).status() != psutil.STATUS_STOPPED
    assert not await world.client.unslow("OrderService")
    with pytest.raises(BadRequestError):
        await world.client.slow("OrderService", stop_ms=1, run_ms=10)


async def test_a_hanging_service_costs_customers_their_patience_and_no_more(
    launch: Launch, homeostat: HomeostatDouble
) -> None:
    patience = GeneratorConfig(interval_ms=100, batch_size=4, timeout_ms=600, concurrency_max=10)
    world = await launch(patience)
    await world.client.slow("PaymentProcessor", stop_ms=30_000, run_ms=10)
    await world.client.slow("AuthService", stop_ms=30_000, run_ms=10)

    async def gave_up() -> bool:
        stats = await world.client.stats()
        assert stats.in_flight <= 10
        return stats.errors > 10 and stats.dropped > 0

    await eventually(gave_up)


# -- Homeostat away, supervisor gone ----------------------------------------------------------------------------


async def test_journeys_go_on_while_homeostat_is_away_and_their_spans_arrive_afterwards(
    world: WorldHandle, homeostat: HomeostatDouble
) -> None:
    homeostat.stop()
    began = time.monotonic()
    journey = await simulate(world)
    assert journey["status"] == "completed"
    assert time.monotonic() - began < 2.0
    await anyio.sleep(0.5)  # let the exporters find out that nobody is there
    homeostat.start()
    await simulate(world)
    homeostat.wait_for(lambda seen: len(trace(seen, journey["traceId"])) == 11)


async def test_a_service_that_is_ended_in_good_order_sends_its_last_spans(
    launch: Launch, homeostat: HomeostatDouble
) -> None:
    world = await launch(export_interval_ms=60_000)
    journey = await simulate(world)
    await world.stop()
    assert len(trace(homeostat.spans(), journey["traceId"])) == 11


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_nothing_outlives_a_killed_supervisor_not_even_a_stopped_service(
    launch: Launch, tmp_path: Path
) -> None:
    world = await launch(BUSY)
    pids = [service.pid for service in await world.client.services() if service.pid]
    await world.client.slow("AuthService", stop_ms=30_000, run_ms=10)
    os.kill(world.pid, signal.SIGKILL)

    async def gone() -> bool:
        return not any(alive(pid) for pid in pids)

    assert await eventually(gone) < 3.0
    assert world.pid_file("AuthService").exists()

    again = await launch(run_dir=world.run_dir)
    assert pid_in(again.pid_file("AuthService"))[0] not in pids
    assert (await simulate(again))["status"] == "completed"


async def test_a_second_world_in_the_same_directory_is_refused(launch: Launch) -> None:
    world = await launch()
    with pytest.raises(ActionError, match=f"already runs.*kill {world.pid} "):
        await launch(run_dir=world.run_dir)
    assert await world.client.healthy()


async def test_a_stopped_world_leaves_nothing_behind(launch: Launch) -> None:
    world = await launch(BUSY)
    pids = [world.pid, *(service.pid for service in await world.client.services() if service.pid)]
    await world.stop()
    assert not any(alive(pid) for pid in pids)
    assert list(world.run_dir.glob("*.pid")) == []
    assert not (world.run_dir / "control.json").exists()


# -- continuous journeys ----------------------------------------------------------------------------------------


async def test_the_same_seed_makes_the_same_journeys_and_the_log_says_what_the_original_did(
    launch: Launch, tmp_path: Path, homeostat: HomeostatDouble
) -> None:
    homeostat.flags["errorInjectionEnabled"] = True
    firsts: list[dict[str, Any]] = []
    for name in ("one", "two"):
        world = await launch(QUIET, seed=11, run_dir=tmp_path / name)
        await flags_arrive(world, homeostat)
        await world.client.generator(enabled=True, interval_ms=60_000, batch_size=40)
        await eventually(lambda world=world: _journeys(world, 40))
        stats = await world.client.stats()
        firsts.append(stats.model_dump(include={"journeys", "errors", "revenue", "revenue_lost", "customers"}))
        lines = (world.run_dir / "journeys.log").read_text().splitlines()
        assert any(
            line.startswith("[") and "] Journey completed: Wayne Enterprises - Banking" in line for line in lines
        )
        await world.client.generator(interval_ms=50, batch_size=1)
        await eventually(lambda world=world: _stats_line(world))
    assert firsts[0] == firsts[1]
    assert firsts[0]["errors"] > 0


async def _stats_line(world: WorldHandle) -> bool:
    text = (world.run_dir / "journeys.log").read_text()
    return "Stats - Total: 40, Errors: " in text and ", Success Rate: " in text


async def test_continuous_journeys_can_be_seen_stopped_and_started_again(launch: Launch) -> None:
    world = await launch(BUSY)
    async with httpx2.AsyncClient(base_url=f"{world.url}/api/journey-simulation/continuous-generation") as client:
        status = (await client.get("/status")).json()
        assert (status["ok"], status["activeJourneys"]) == (True, 6)
        assert status["journeys"]["Umbrella Corporation"] == {
            "active": True, "ratePerMinute": 300.0, "scenario": "Banking Journey",
        }  # fmt: skip
        stopped = (await client.post("/stop/Umbrella Corporation")).json()
        assert stopped.items() >= {"ok": True, "stopped": True, "company": "Umbrella Corporation"}.items()
        assert (await client.post("/stop/Nobody")).json()["stopped"] is False
        assert (await client.get("/status")).json()["activeJourneys"] == 5
        assert (await client.post("/stop-all")).json()["stopped"] == 5
        assert (await client.get("/status")).json() == {
            "ok": True, "method": "generator", "activeJourneys": 0, "journeys": {},
        }  # fmt: skip

    async def all_home() -> bool:
        return (await world.client.stats()).in_flight == 0

    await eventually(all_home)
    quiet = (await world.client.stats()).journeys
    await anyio.sleep(0.6)
    assert (await world.client.stats()).journeys == quiet
    await world.client.generator(enabled=True)
    await eventually(lambda: _journeys(world, quiet + 10))


# -- frugality --------------------------------------------------------------------------------------------------


async def test_nine_services_are_up_within_seconds_and_small(launch: Launch) -> None:
    began = time.monotonic()
    world = await launch(BUSY)
    assert time.monotonic() - began < 10.0  # 1 s where nothing else runs; other tests run beside this one
    await eventually(lambda: _journeys(world, 30))
    for service in await world.client.services():
        assert service.rss_mb is not None
        assert service.rss_mb < 60.0, service
        pid = service.pid
        assert pid is not None
        assert Path(f"/proc/{pid}/comm").read_text().strip() == service.name[:15]


async def test_a_world_without_homeostat_runs_as_well(tmp_path: Path) -> None:
    world = await launch_world(WorldConfig(run_dir=tmp_path / "alone", generator=QUIET))
    try:
        assert (await simulate(world))["status"] == "completed"
        assert json.loads((world.run_dir / "control.json").read_text())["url"] == world.url
        async with WorldClient("http://127.0.0.1:9") as nowhere:
            assert not await nowhere.healthy()
            with pytest.raises(ActionError, match="not reachable"):
                await nowhere.world()
    finally:
        await world.stop()
