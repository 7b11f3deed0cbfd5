"""Metrics over HTTP: the catalogue, series and exemplars, on the real store."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from api_parts import BASE_URL, NOW_S, Setup
from log_support import Kept

from homeostat.api.app import create_api
from support.spans import trace_hex
from support.telemetry import counter, gauge, histogram, ns


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "telemetry")


@pytest.fixture
async def client(setup: Setup, kept: Kept) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_api(kept.parts(setup)))
    async with httpx2.AsyncClient(transport=transport, base_url=BASE_URL, timeout=10) as made:
        yield made


async def test_the_catalogue_has_every_metric_with_its_services(client: httpx2.AsyncClient, kept: Kept) -> None:
    kept.measure([gauge("queue.length", [(-60, 3)])])
    kept.measure([gauge("queue.length", [(-30, 3)]), counter("requests", [(-30, 3, -90)])], service="bank")
    rows = (await client.get("/api/metrics-catalog")).json()
    assert [(row["name"], row["type"], row["services"]) for row in rows] == [
        ("queue.length", "gauge", ["bank", "shop"]),
        ("requests", "sum", ["bank"]),
    ]
    assert [row["name"] for row in (await client.get("/api/metrics-catalog?contains=REQ")).json()] == ["requests"]


async def test_series_are_answered_by_step_and_put_together_on_request(
    client: httpx2.AsyncClient, kept: Kept
) -> None:
    kept.measure([gauge("load", [(-50, 1), (-30, 2)], {"cpu": "0"}), gauge("load", [(-30, 5)], {"cpu": "1"})])
    asked = {"name": "load", "minutes": 1, "step_s": 20, "aggregation": "sum"}
    answer = (await client.get("/api/metrics/query", params=asked)).json()
    assert (answer["step_s"], answer["start"]) == (20, "2026-03-01T11:59:00Z")
    values = {row["labels"]["cpu"]: row["values"] for row in answer["series"]}
    assert values == {"0": [1.0, 2.0, None], "1": [None, 5.0, None]}
    (one,) = (await client.get("/api/metrics/query", params=asked | {"group_by": ""})).json()["series"]
    assert (one["labels"], one["values"], one["start_s"]) == ({}, [1.0, 7.0, None], NOW_S - 60)
    only = (await client.get("/api/metrics/query", params=asked | {"label": "cpu=1", "group_by": "cpu"})).json()
    assert [row["labels"] for row in only["series"]] == [{"cpu": "1"}]
    assert (await client.get("/api/metrics/query", params={"name": "nothing"})).json()["series"] == []


async def test_exemplars_lead_to_their_traces(client: httpx2.AsyncClient, kept: Kept) -> None:
    made = histogram("latency", [(-10, -70, [0, 1])], [1.0])
    for value in (2.5, float("inf")):
        made.histogram.data_points[0].exemplars.add(
            time_unix_nano=ns(-11), as_double=value, trace_id=bytes.fromhex(trace_hex(5)), span_id=b"12345678"
        )
    kept.measure([made])
    rows = (await client.get("/api/metrics/exemplars", params={"name": "latency"})).json()
    assert {row["trace_id"] for row in rows} == {trace_hex(5)}
    assert 2.5 in [row["value"] for row in rows]
    assert all(row["value"] in {2.5, None} for row in rows)


@pytest.mark.parametrize(
    ("params", "status", "remedy"),
    [
        ({"name": "load", "aggregation": "quantile"}, 400, "load"),
        ({"name": "load", "minutes": 525_600, "step_s": 1}, 400, "step_s="),
        ({"name": "load", "label": "cpu"}, 400, "key=value"),
        ({"name": "load", "start": "2026-03-01T12:00:00Z", "end": "2026-03-01T12:00:00Z"}, 400, "End later"),
        ({"name": "load", "aggregation": "median"}, 422, "quantile"),
        ({}, 422, "name"),
    ],
)
async def test_what_is_asked_wrongly_is_answered_with_what_to_do(
    client: httpx2.AsyncClient, kept: Kept, params: dict[str, str], status: int, remedy: str
) -> None:
    kept.measure([gauge("load", [(-30, 5)])])
    answer = await client.get("/api/metrics/query", params=params)
    assert answer.status_code == status, answer.text
    assert remedy in answer.json()["detail"]
