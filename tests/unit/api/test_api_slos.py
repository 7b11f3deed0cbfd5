"""Objectives over HTTP: the compatible interface to the field name, Homeostat's own, OpenSLO and Prometheus rules."""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import httpx2
import numpy as np
import pytest
from api_parts import NOW, NOW_S, RedTable, Setup

from homeostat.api import slos
from homeostat.core.config import SloConfig
from homeostat.core.red import HISTOGRAM_BUCKETS, RedMinutes, share_within
from homeostat.observe.slo import SloService, Sources
from homeostat.observe.slo.openslo_read import Read, read_with_notes
from homeostat.runtime import SystemIds

COMPATIBLE = ("/api/v3/observability", "/api/observability")
ORIGINAL_FIELDS = {
    "id",
    "name",
    "service",
    "description",
    "target_percentage",
    "window_days",
    "metric",
    "threshold",
    "current_percentage",
    "status",
    "error_budget_remaining",
    "last_updated",
}
SLO = {
    "name": "Shop works",
    "service": "shop",
    "target_percentage": 99.9,
    "sli": {"kind": "availability"},
}


@dataclass
class RedMinutesTable(RedTable):
    """The rollups of the other API tests, with a memory by the minute."""

    served: list[tuple[str, int, int, int]] = field(default_factory=list)

    def serve(self, service: str, minute_s: int, requests: int, errors: int) -> None:
        self.add(service, minute_s, requests=requests, errors=errors)

    def minutes(
        self,
        service: str,
        start_s: int,
        end_s: int,
        *,
        operation: str | None = None,
        histograms: bool = True,
        within_ms: float | None = None,
    ) -> RedMinutes:
        points = [self._sum(service, operation, at, at + 60) for at in range(start_s, end_s, 60) if self._any(at)]
        histogram = np.array([point.histogram or (0,) * HISTOGRAM_BUCKETS for point in points], np.int32)
        histogram = histogram.reshape(len(points), HISTOGRAM_BUCKETS)
        return RedMinutes(
            service,
            operation,
            np.array([point.start_s for point in points], np.int64),
            np.array([point.requests for point in points], np.int64),
            np.array([point.errors for point in points], np.int64),
            np.array([point.duration_sum_ms for point in points]),
            histogram,
            np.zeros(0) if within_ms is None else histogram @ share_within(within_ms),
        )

    def _any(self, start_s: int) -> bool:
        return any(start_s <= second < start_s + 60 for _, _, second in self.seconds)


@asynccontextmanager
async def serving(setup: Setup, *, defaults: bool = False) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """The API with objectives, evaluated once."""
    red = RedMinutesTable(seconds=setup.red.seconds)
    for minute in range(1, 61):
        red.serve("shop", NOW_S - 60 * minute, 100, 1 if minute == 30 else 0)
    sources = Sources(red, setup.state)
    slos = SloService(
        SloConfig(defaults=defaults), sources, setup.state, clock=setup.clock, ids=SystemIds(), bus=setup.bus
    )
    await slos.open()
    await slos.look()
    async with setup.client(slos=slos) as client:
        yield client


@pytest.mark.parametrize("prefix", COMPATIBLE)
async def test_the_compatible_interface_answers_its_fields_and_unknown_without_data(
    setup: Setup, prefix: str
) -> None:
    async with serving(setup, defaults=True) as client:
        found = (await client.get(f"{prefix}/slos")).json()
        assert len(found) == 5
        assert all(set(one) >= ORIGINAL_FIELDS for one in found)
        assert {one["status"] for one in found} == {"unknown"}
        assert {one["current_percentage"] for one in found} == {None}
        assert len((await client.get(f"{prefix}/slos", params={"service": "postgres"})).json()) == 1
        assert len((await client.get(f"{prefix}/slos", params={"service": ""})).json()) == 5
        missing = await client.get(f"{prefix}/slo/slo-none")
        assert missing.status_code == 404
        assert "GET /api/slos lists them" in missing.json()["detail"]


@pytest.mark.parametrize("as_body", [False, True])
async def test_the_compatible_interface_makes_evaluates_and_deletes(setup: Setup, as_body: bool) -> None:
    given = {
        "name": "Shop",
        "service": "shop",
        "description": "works",
        "target_percentage": 99.9,
        "metric": "availability",
        "threshold": 99.9,
    }
    async with serving(setup) as client:
        path = f"{COMPATIBLE[0]}/slo"
        made = (await client.post(path, json=given) if as_body else await client.post(path, params=given)).json()
        assert made["id"].startswith("slo-")
        assert len(made["id"]) == 12
        assert made["window_days"] == 30
        assert made["current_percentage"] == pytest.approx(100 * 5_999 / 6_000)
        assert made["status"] == "healthy"
        assert made["error_budget_remaining"] == 100
        assert made["error_budget_true_remaining"] == pytest.approx(100 * (1 - 1 / 6))
        assert made["burn_rates"]["1h"] == pytest.approx(1 / 6, rel=0.05)
        assert (await client.get(f"{path}/{made['id']}")).json() == made
        assert (await client.delete(f"{path}/{made['id']}")).json() == {"status": "deleted", "id": made["id"]}
        assert (await client.get(f"{path}/{made['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "status", "says"),
    [
        ({"name": None}, 422, "query name: Field required"),
        ({"target_percentage": 100}, 400, "100 % would leave no budget"),
        ({"target_percentage": "much"}, 422, "valid number"),
        ({"metric": "latency", "threshold": 0}, 400, "above 0"),
        ({"metric": "latency"}, 422, "query threshold: Field required"),
        ({"window_days": 0}, 400, "choose 1 to 90"),
    ],
)
async def test_the_compatible_interface_says_what_is_wrong(
    setup: Setup, wrong: dict[str, object], status: int, says: str
) -> None:
    given = {"name": "Shop", "service": "shop", "target_percentage": 99.9, "metric": "availability"} | wrong
    params = {key: str(value) for key, value in given.items() if value is not None}
    async with serving(setup) as client:
        answer = await client.post(f"{COMPATIBLE[1]}/slo", params=params)
        assert answer.status_code == status
        assert says in answer.json()["detail"]


async def test_an_objective_is_made_shown_with_its_history_changed_and_brought_back(setup: Setup) -> None:
    async with serving(setup) as client:
        made = await client.post("/api/slos", json=SLO)
        assert made.status_code == 201
        slo_id = made.json()["id"]
        found = (await client.get(f"/api/slos/{slo_id}", params={"step_s": 3600})).json()
        assert found["slo"]["budget"]["remaining"] == pytest.approx(1 - 1 / 6)
        assert found["slo"]["budget"]["allowed"] == pytest.approx(6)
        assert found["slo"]["forecast"]["text"] == "not spent within the window at this rate"
        assert found["slo"]["covered_s"] == 3600
        assert len(found["history"]["points"]) == 720
        assert found["history"]["points"][-1]["budget_remaining"] == pytest.approx(1 - 1 / 6)
        assert found["history"]["points"][0]["total"] is None
        assert "kind: SLO" in found["openslo"]
        changed = await client.put(f"/api/slos/{slo_id}", json=SLO | {"target_percentage": 99.99})
        assert changed.json()["budget"]["remaining"] == pytest.approx(1 - 1 / 0.6)
        assert changed.json()["forecast"] == {"exhausted_in_s": 0, "text": "spent", "rate_window_s": 3600}
        assert (await client.delete(f"/api/slos/{slo_id}")).json() == {"deleted": slo_id}
        assert (await client.put(f"/api/slos/{slo_id}", json=SLO)).json()["id"] == slo_id


async def test_openslo_goes_in_and_comes_out_as_it_was(setup: Setup) -> None:
    async with serving(setup, defaults=True) as client:
        text = (await client.get("/api/slos/export")).text
        body = text.encode()
        again = (await client.post("/api/slos/import", content=body)).json()
        assert (len(again["updated"]), again["created"]) == (5, [])
        assert (await client.get("/api/slos/export")).text == text
        tried = await client.post(
            "/api/slos/import", params={"dry_run": True}, content=body.replace(b"homeostat/id", b"other/id")
        )
        assert len(tried.json()["created"]) == 5
        assert len((await client.get("/api/slos")).json()) == 5
        assert tried.json()["notes"] == []
        broken = await client.post("/api/slos/import", content=body.replace(b"target: 0.9", b"target: 9"))
        assert broken.status_code == 400
        assert "body:" in broken.json()["detail"]
        assert (await client.post("/api/slos/import", content=b"\xff\xfe")).status_code == 400


async def test_openslo_is_read_beside_the_event_loop(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def read(text: str, file: str, now: datetime) -> Read:
        threads.append(threading.get_ident())
        return read_with_notes(text, file, now)

    monkeypatch.setattr(slos, "read_with_notes", read)
    async with serving(setup, defaults=True) as client:
        text = (await client.get("/api/slos/export")).text
        assert (await client.post("/api/slos/import", content=text.encode())).status_code == 200
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


async def test_rules_for_prometheus_are_of_the_objectives_that_are_named(setup: Setup) -> None:
    async with serving(setup, defaults=True) as client:
        ids = [one["id"] for one in (await client.get("/api/slos")).json()]
        both = (await client.get("/api/slos/rules", params={"id": ids[:2]})).text
        assert both.count("name: homeostat-slo-alerts-") == 2
        assert (await client.get("/api/slos/rules", params={"id": "slo-none"})).status_code == 404


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sli": {"kind": "latency"}}, "sli.threshold_ms: latency needs it"),
        ({"sli": {"kind": "metric_ratio", "total": {"metric": "a"}}}, "one of good and bad"),
        ({"slice_s": 90}, "whole number of minutes"),
    ],
)
async def test_what_does_not_fit_together_is_refused_with_a_remedy(
    setup: Setup, wrong: dict[str, object], says: str
) -> None:
    async with serving(setup) as client:
        answer = await client.post("/api/slos", json=SLO | wrong)
        assert answer.status_code == 400
        assert says in answer.json()["detail"]


async def test_without_objectives_the_interface_says_so(setup: Setup) -> None:
    async with setup.client() as client:
        answer = await client.get("/api/slos")
        assert answer.status_code == 503
        assert "homeostat up" in answer.json()["detail"]


def test_the_clock_of_these_tests_stands_at_a_minute() -> None:
    assert NOW.second == 0
