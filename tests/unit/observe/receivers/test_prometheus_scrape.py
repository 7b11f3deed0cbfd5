"""What a target shows to Prometheus becomes OTLP metrics; a target that can't be scraped is down, and bounded."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from homeostat import serving as http_server
from homeostat.core.config import ScrapeTarget
from homeostat.core.errors import BadRequestError
from homeostat.net import bind, bound_port
from homeostat.observe.decode.metrics import decode_metrics
from homeostat.observe.intake import Receipt
from homeostat.observe.receivers import prometheus_scrape
from homeostat.observe.receivers.prometheus_otlp import OtlpMetrics
from homeostat.observe.receivers.prometheus_scrape import BODY_BYTES_MAX, Scraper, TargetState, client_of_targets
from homeostat.observe.receivers.prometheus_text import SAMPLES_MAX, Translation, read
from support.spans import HandClock

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TRACE_ID = "5b8efff798038103d269b633813fc60c"
TIME_MS = 1_772_366_400_000

Row = dict[str, Any]


def rows_of(payloads: list[bytes]) -> list[Row]:
    decoded = decode_metrics(payloads)
    assert all(outcome.error is None and not outcome.rejected for outcome in decoded.outcomes)
    return decoded.table.to_pylist()


def translated(body: str, content_type: str = TEXT, labels: dict[str, str] | None = None) -> list[Row]:
    metrics = OtlpMetrics(1 << 24)
    Translation(metrics, (("service.name", "shop"),), labels or {}, TIME_MS).add(read(body, content_type))
    return rows_of(metrics.payloads())


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("orders", "Orders taken.", ["kind"], registry=registry).labels("web").inc(3, {"trace_id": TRACE_ID})
    Gauge("queue", "Waiting.", registry=registry).set(2.5)
    latency = Histogram("latency_seconds", "How long.", buckets=(0.1, 1.0), registry=registry)
    for value in (0.05, 0.5, 5.0):
        latency.observe(value)
    Summary("size_bytes", "How large.", registry=registry).observe(7)
    return registry


@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_the_official_client_shows_is_read_by_its_types(openmetrics: bool) -> None:
    make = generate_openmetrics if openmetrics else generate_latest
    rows = {row["name"]: row for row in translated(make(_registry()).decode(), OPENMETRICS if openmetrics else TEXT)}
    orders = rows["orders_total"]
    assert (orders["type"], orders["monotonic"], orders["value"]) == (1, True, 3.0)
    assert json.loads(orders["labels"]) == {"kind": "web"}
    assert (rows["queue"]["type"], rows["queue"]["value"], rows["queue"]["description"]) == (0, 2.5, "Waiting.")
    latency = rows["latency_seconds"]
    assert (latency["type"], latency["bounds"], latency["bucket_counts"]) == (2, [0.1, 1.0], [1, 1, 1])
    assert (latency["count"], latency["sum"]) == (3, 5.55)
    assert (rows["size_bytes"]["type"], rows["size_bytes"]["count"], rows["size_bytes"]["sum"]) == (4, 1, 7.0)
    assert all(row["time_ns"] == TIME_MS * 1_000_000 for row in rows.values())
    if openmetrics:
        assert orders["exemplars"][0]["trace_id"].hex() == TRACE_ID
        assert orders["start_ns"] > 0
        assert latency["start_ns"] > 0


@pytest.mark.parametrize("time", ["-5", "9223372036854775807", "99999999999999999999999"])
def test_times_that_can_not_be_lie_at_the_edge(time: str) -> None:
    for row in translated(f"x 1 {time}\n"):
        assert 0 <= row["time_ns"] < 2**63


def test_labels_of_the_target_win_over_those_of_a_sample() -> None:
    (row,) = translated('x{job="other",env="test"} 1\n', labels={"env": "prod"})
    assert json.loads(row["labels"]) == {"env": "prod", "exported_env": "test", "exported_job": "other"}


def test_a_sample_that_says_its_time_keeps_it() -> None:
    (row,) = translated("x 1 1700000000123\n")
    assert row["time_ns"] == 1_700_000_000_123_000_000


@pytest.mark.parametrize(
    "buckets",
    [
        'h_bucket{le="1"} 5\nh_bucket{le="+Inf"} 3',
        'h_bucket{le="1"} 0.5',
        "h_sum 3",
        'h_bucket{le="a"} 1',
        'h_bucket{le="NaN"} 1',
        "h_count NaN",
    ],
)
def test_a_histogram_that_contradicts_itself_is_left_out_and_the_rest_is_read(buckets: str) -> None:
    rows = translated(f"# TYPE h histogram\n{buckets}\n# TYPE g gauge\ng 1\n")
    assert [row["name"] for row in rows] == ["g"]


@pytest.mark.parametrize("body", ["<html></html>", "x{", "x y z"])
def test_what_is_no_metrics_is_refused_by_name(body: str) -> None:
    with pytest.raises(BadRequestError, match="not Prometheus"):
        translated(body + "\n")


@given(st.text(max_size=200), st.sampled_from([TEXT, OPENMETRICS]))
@settings(max_examples=200, deadline=None)
def test_random_text_is_read_or_refused_and_never_crashes(body: str, content_type: str) -> None:
    try:
        shown = read(body, content_type)
    except BadRequestError:
        return
    Translation(OtlpMetrics(1 << 20), (), {}, TIME_MS).add(shown)


def test_more_samples_than_the_bound_are_refused() -> None:
    with pytest.raises(BadRequestError, match=str(SAMPLES_MAX)):
        read("".join(f'x{{n="{n}"}} 1\n' for n in range(SAMPLES_MAX + 1)), TEXT)


# -- scraping ------------------------------------------------------------------------------------------------


@dataclass
class _Target:
    """A real HTTP server that shows what a test wants."""

    body: bytes = b"x 1\n"
    status: int = 200
    content_type: str = TEXT
    hangs: bool = False
    location: str = ""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        if self.hangs:
            await anyio.sleep_forever()
        headers = [(b"content-type", self.content_type.encode())]
        if self.location:
            headers.append((b"location", self.location.encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass
class _Bench:
    scraper: Scraper
    state: TargetState
    target: _Target
    taken: list[bytes] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def scrape(self) -> dict[str, Row]:
        self.taken.clear()
        async with httpx2.AsyncClient() as client:
            await self.scraper.scrape(client, self.state)
        return {row["name"]: row for row in rows_of(self.taken)}


@asynccontextmanager
async def _bench(timeout: timedelta = timedelta(seconds=10)) -> AsyncGenerator[_Bench]:
    target, taken, refused = _Target(), list[bytes](), list[str]()
    listener = bind("127.0.0.1", 0)
    target.url = f"http://127.0.0.1:{bound_port(listener)}/metrics"

    async def submit(payload: bytes) -> Receipt:
        taken.append(payload)
        return Receipt(1, 0)

    config = ScrapeTarget(job="shop", url=target.url, timeout=timeout, interval=timedelta(milliseconds=20))
    scraper = Scraper([config], submit, refused.append, HandClock())
    async with http_server.serving(target, listener):
        yield _Bench(scraper, scraper.states[0], target, taken, refused)


async def test_without_targets_no_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def submit(payload: bytes) -> Receipt:
        raise AssertionError(payload)

    monkeypatch.setattr(prometheus_scrape, "client_of_targets", None)
    await Scraper([], submit, list[str]().append, HandClock()).run()


async def test_a_scrape_tells_what_is_shown_and_how_it_went() -> None:
    async with _bench() as bench:
        rows = await bench.scrape()
    assert rows["x"]["service"] == "shop"
    assert '"service.instance.id": "127.0.0.1:' in rows["x"]["resource"]
    assert (rows["up"]["value"], rows["scrape_samples_scraped"]["value"]) == (1.0, 1.0)
    assert rows["scrape_duration_seconds"]["unit"] == "s"
    assert (bench.state.up, bench.state.error, bench.state.samples) == (True, "", 1)


async def test_a_series_that_is_shown_no_more_has_no_value_and_is_forgotten() -> None:
    async with _bench() as bench:
        bench.target.body = b'x 1\ny 2\n# TYPE h histogram\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n'
        await bench.scrape()
        bench.target.body = b"x 1\n"
        gone = await bench.scrape()
        later = await bench.scrape()
    assert (gone["y"]["value"], gone["y"]["flags"], gone["y"]["type"]) == (None, 1, 0)
    assert (gone["h"]["count"], gone["h"]["flags"], gone["h"]["type"]) == (None, 1, 2)
    assert set(later) == {"x", "up", "scrape_duration_seconds", "scrape_samples_scraped"}


@pytest.mark.parametrize("trouble", ["status", "hangs", "no metrics", "too large", "not text", "gone"])
async def test_a_target_that_can_not_be_scraped_is_down_and_its_series_end(trouble: str) -> None:
    async with _bench(timeout=timedelta(milliseconds=400 if trouble == "hangs" else 20_000)) as bench:
        await bench.scrape()
        target = bench.target
        match trouble:
            case "status":
                target.status = 500
            case "hangs":
                target.hangs = True
            case "no metrics":
                target.body = b"<html>"
            case "too large":
                target.body = b"#" * (BODY_BYTES_MAX + 1)
            case "not text":
                target.body = b"\xff\xfe"
            case _:
                bench.state.target = bench.state.target.model_copy(update={"url": "http://127.0.0.1:1/metrics"})
        rows = await bench.scrape()
    assert rows["up"]["value"] == 0.0
    assert (rows["x"]["value"], rows["x"]["flags"]) == (None, 1)
    assert bench.state.up is False
    assert bench.state.error
    assert (bench.state.scrapes, bench.state.failures, bench.refused) == (2, 1, ["scrape"])


async def test_neither_a_redirect_nor_a_proxy_of_the_environment_leads_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with _bench() as bench, client_of_targets() as client:
        await bench.scraper.scrape(client, bench.state)
        assert bench.state.up is True, bench.state.error
        bench.target.status, bench.target.location = 302, "/elsewhere"
        await bench.scraper.scrape(client, bench.state)
        assert bench.state.up is False
        assert bench.target.asked == ["/metrics", "/metrics"]


async def test_scraping_goes_on_in_its_interval_until_it_is_told_to_stop() -> None:
    async with _bench() as bench, anyio.create_task_group() as tasks:
        tasks.start_soon(bench.scraper.run)
        with anyio.fail_after(10):
            while bench.state.scrapes < 3:
                await anyio.sleep(0.005)
        tasks.cancel_scope.cancel()
    assert bench.state.up
