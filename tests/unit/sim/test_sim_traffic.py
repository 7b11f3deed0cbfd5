"""Scripted traffic behaves as rollups of real spans do: late, noisy, and with errors that travel upwards."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from homeostat.core.red import RedPoint
from homeostat.sim import Simulation, run
from homeostat.sim.traffic import Disturbance, SimService, SimTraffic
from support.sim_detection import chain

START_S = 1_767_225_600  # 2026-01-01T00:00:00Z, where simulations begin


def points_after(
    seconds: float, services: list[SimService], *disturbances: Disturbance, seed: int = 0
) -> dict[str, RedPoint]:
    """What each service did in all that time, seen five seconds later."""

    async def main(simulation: Simulation) -> dict[str, RedPoint]:
        traffic = SimTraffic(simulation.clock, services, disturbances, seed=seed)
        await anyio.sleep(seconds + 5)
        return {point.service: point for point in traffic.window(START_S, START_S + int(seconds))}

    return run(main)


def in_simulation(body: Callable[[Simulation, SimTraffic], Awaitable[None]], *disturbances: Disturbance) -> None:
    async def main(simulation: Simulation) -> None:
        await body(simulation, SimTraffic(simulation.clock, chain(100), disturbances))

    run(main)


def test_the_same_seed_makes_the_same_traffic():
    assert points_after(60, chain(20), seed=3) == points_after(60, chain(20), seed=3)
    assert points_after(60, chain(20), seed=3) != points_after(60, chain(20), seed=4)


def test_every_request_of_the_front_reaches_the_back():
    points = points_after(300, chain(20))
    assert points["front"].requests == points["mid"].requests == points["back"].requests
    assert points["front"].requests == pytest.approx(6_000, rel=0.05)
    assert points["front"].downstream_requests == points["front"].requests
    assert points["back"].downstream_requests == 0


def test_an_error_travels_up_and_is_the_own_error_of_where_it_began():
    points = points_after(300, chain(20), Disturbance("back", 0.0, error_rate=0.2))
    assert points["back"].error_rate == pytest.approx(0.2, abs=0.03)
    assert points["front"].errors == points["back"].errors == points["back"].self_errors
    assert points["front"].self_errors == points["mid"].self_errors == 0


def test_added_time_shows_in_the_histograms_of_the_service_and_its_callers():
    points = points_after(60, chain(20), Disturbance("mid", 0.0, added_ms=700.0))
    assert (points["back"].quantile_ms(0.95) or 0.0) < 50.0
    assert (points["mid"].quantile_ms(0.05) or 0.0) > 650.0
    assert (points["front"].quantile_ms(0.05) or 0.0) > 650.0
    assert sum(points["mid"].histogram) == points["mid"].requests


def test_a_silent_service_sends_no_spans_and_its_callers_fail():
    points = points_after(60, chain(20), Disturbance("back", 0.0, silent=True))
    assert "back" not in points
    assert points["mid"].error_rate == 1.0
    assert points["mid"].self_errors == 0


def test_a_second_becomes_visible_late_and_piece_by_piece():
    async def body(simulation: Simulation, traffic: SimTraffic) -> None:
        await anyio.sleep(0.7)
        assert traffic.latest_s() is None
        await anyio.sleep(0.8)
        early = traffic.window(START_S, START_S + 1)
        assert 0 < early[0].requests < 100
        await anyio.sleep(2.0)
        assert traffic.window(START_S, START_S + 1)[0].requests > early[0].requests

    in_simulation(body)


def test_a_fault_that_is_added_and_calmed_acts_from_then_to_then():
    async def body(simulation: Simulation, traffic: SimTraffic) -> None:
        await anyio.sleep(30)
        traffic.disturb(Disturbance("back", 0.0, error_rate=1.0))
        await anyio.sleep(10)
        traffic.calm("back")
        await anyio.sleep(20)
        assert traffic.window(START_S, START_S + 29)[0].errors == 0
        assert traffic.window(START_S + 31, START_S + 39)[2].error_rate == 1.0
        assert traffic.window(START_S + 41, START_S + 55)[0].errors == 0

    in_simulation(body)


def test_operations_and_series_add_up_to_the_service():
    services = [SimService("one", entry_rate=50.0, operations=("read", "write", "list"))]

    async def main(simulation: Simulation) -> None:
        traffic = SimTraffic(simulation.clock, services, [Disturbance("one", 0.0, error_rate=0.5, operation="write")])
        await anyio.sleep(65)
        whole = traffic.window(START_S, START_S + 60)[0]
        parts = traffic.operations(START_S, START_S + 60)
        assert sum(part.requests for part in parts) == whole.requests
        assert {part.operation for part in parts if part.errors} == {"write"}
        steps = traffic.series("one", START_S, START_S + 60, 1)
        assert len(steps) == 60
        assert sum(step.requests for step in steps) == whole.requests

    run(main)


def test_a_circle_of_calls_is_refused():
    services = [SimService("a", calls=("b",)), SimService("b", calls=("a",))]

    async def main(simulation: Simulation) -> None:
        SimTraffic(simulation.clock, services)

    with pytest.raises(ValueError, match="circle"):
        run(main)


def test_edges_count_the_calls_and_their_failures():
    async def body(simulation: Simulation, traffic: SimTraffic) -> None:
        await anyio.sleep(20)
        edges = {(edge.caller, edge.callee): edge for edge in traffic.edges(START_S, START_S + 15)}
        assert set(edges) == {("front", "mid"), ("mid", "back")}
        assert edges["mid", "back"].errors == edges["mid", "back"].requests > 1_000

    in_simulation(body, Disturbance("back", 0.0, error_rate=1.0))
