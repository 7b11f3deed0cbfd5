"""A program's own logging, through OpenTelemetry's SDK and OTLP into the pipeline, asked on the command line."""

import csv
import json
import logging
import re
import socket
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pyarrow.parquet as pq
import pytest
from api_parts import Setup
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import format_span_id, format_trace_id
from typer.testing import CliRunner

from homeostat.api.app import create_api
from homeostat.api.parts import ApiParts
from homeostat.api.server import serving
from homeostat.cli.main import app
from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.observe.pipeline import Pipeline, running
from homeostat.runtime import SystemClock

RESOURCE = Resource.create({"service.name": "shop"})
ORDERS = 20
DEADLINE_S = 60.0


@dataclass
class Place:
    """A pipeline with the API over it."""

    url: str
    otlp: str


@asynccontextmanager
async def homeostat(setup: Setup, directory: Path) -> AsyncGenerator[Place]:
    clock = SystemClock()
    storage = StorageConfig(path=directory, min_free_mib=1)
    async with running(ReceiverConfig.only(otlp_http_port=0), storage, clock) as pipeline:
        setup.clock = clock  # pyright: ignore[reportAttributeAccessIssue]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with serving(create_api(_parts(setup, pipeline)), listener):
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                yield Place(url, f"http://127.0.0.1:{pipeline.http_port}/v1")


def _parts(setup: Setup, pipeline: Pipeline) -> ApiParts:
    return replace(setup.parts(logs=pipeline.logs, metrics=pipeline.metrics), telemetry=pipeline.store)


def work(otlp: str) -> tuple[str, str]:
    """What an instrumented program does; ids of the span in which one order failed."""
    tracing = TracerProvider(resource=RESOURCE)
    tracing.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{otlp}/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{otlp}/metrics"), export_interval_millis=3_600_000)
    metering = MeterProvider([reader], resource=RESOURCE)
    saying = LoggerProvider(resource=RESOURCE)
    saying.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{otlp}/logs")))
    log = logging.Logger("shop.orders")
    log.addHandler(LoggingHandler(logger_provider=saying))
    latency = metering.get_meter("shop").create_histogram("latency", unit="ms")
    for number in range(ORDERS):
        log.info("order %d paid after %d ms [bold]", number, number * 3, extra={"shop.order": f"A-{number}"})
    with tracing.get_tracer("shop").start_as_current_span("checkout") as span:
        latency.record(12.5, {"kind": "web"})
        try:
            raise ValueError("card \x1b[31mdeclined")
        except ValueError:
            log.exception("order 99 failed")
    for provider in (tracing, metering, saying):
        provider.shutdown()
    ids = span.get_span_context()
    return format_trace_id(ids.trace_id), format_span_id(ids.span_id)


async def asked(place: Place, *words: str) -> str:
    done = await anyio.to_thread.run_sync(partial(CliRunner().invoke, app, [*words, "--url", place.url]))
    assert done.exit_code == 0, done.output
    return done.stdout


async def test_logs_and_metrics_of_a_program_are_found_on_the_command_line(setup: Setup, tmp_path: Path) -> None:
    async with homeostat(setup, tmp_path) as place:
        trace_id, span_id = await anyio.to_thread.run_sync(work, place.otlp)

        lines = (await asked(place, "logs", "search", "order", "--limit", "100")).splitlines()
        assert len(lines) == ORDERS + 1
        assert "order 0 paid" in lines[0]
        assert "ERROR       shop: order 99 failed" in lines[-1]
        assert f"trace={trace_id}" in lines[-1]
        assert "\x1b" not in lines[-1]
        page = json.loads(await asked(place, "logs", "search", "--limit", "15", "--json"))
        older = await asked(place, "logs", "search", "--cursor", page["next_cursor"])
        assert len(older.splitlines()) == ORDERS + 1 - 15
        assert "A-7" in await asked(place, "logs", "search", "--attribute", "shop.order=A-7")
        assert "No record" in await asked(place, "logs", "search", "--severity", "fatal")
        of_span = json.loads(await asked(place, "logs", "search", "--trace", trace_id, "--span", span_id, "--json"))
        assert [record["body"] for record in of_span["records"]] == ["order 99 failed"]

        patterns = await asked(place, "logs", "patterns")
        assert re.search(rf"{ORDERS} +95\.24 % .*order <NUM> paid after <DURATION> \[bold\]", patterns)
        assert "cannot be told" in patterns
        assert "No new patterns" in await asked(place, "logs", "patterns", "--new")

        tailed = await asked(place, "logs", "tail", "--lines", "3", "--stop-after", "3", "--json")
        assert [json.loads(line)["severity"] for line in tailed.splitlines()] == ["info", "info", "error"]

        for name in ("out.ndjson", "out.csv", "out.parquet"):
            await asked(place, "logs", "export", str(tmp_path / name), "--severity", "info")
        assert len((tmp_path / "out.ndjson").read_text().splitlines()) == ORDERS + 1
        with (tmp_path / "out.csv").open(newline="") as file:
            assert [row["trace_id"] for row in csv.DictReader(file)] == [trace_id] + [""] * ORDERS
        assert pq.read_table(tmp_path / "out.parquet").num_rows == ORDERS + 1
        assert not list(tmp_path.glob("*.part"))

        assert "histogram" in await asked(place, "metrics", "list", "laten")
        told = await asked(place, "metrics", "query", "latency", "--quantile", "0.5")
        assert told.startswith("latency: quantile 0.5, in ms\n")
        assert "kind=web" in told
        together = json.loads(
            await asked(place, "metrics", "query", "latency", "--all", "--aggregation", "count", "--json")
        )
        assert [value for value in together["series"][0]["values"] if value] == [1.0]
        assert together["series"][0]["labels"] == {}


def say(otlp: str, done: threading.Event) -> int:
    """Send a record every now and then, until told that it is enough."""
    saying = LoggerProvider(resource=RESOURCE)
    saying.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{otlp}/logs")))
    logger = saying.get_logger("test")
    deadline, count = time.monotonic() + DEADLINE_S, 0
    while not done.wait(0.2):
        assert time.monotonic() < deadline, f"{count} records were sent and not seen"
        logger.emit(body=f"tick {count}", severity_number=SeverityNumber.INFO)
        count += 1
    saying.shutdown()
    return count


async def test_records_are_followed_as_they_come_in_each_once(setup: Setup, tmp_path: Path) -> None:
    done = threading.Event()
    async with homeostat(setup, tmp_path) as place, anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, say, place.otlp, done)
        try:
            lines = await asked(place, "logs", "tail", "tick", "--lines", "0", "--stop-after", "8", "--json")
        finally:
            done.set()
    said = [json.loads(line)["body"] for line in lines.splitlines()]
    first = int(said[0].removeprefix("tick "))
    assert said == [f"tick {first + number}" for number in range(8)]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("logs", "search", "--cursor", "x"), "next_cursor"),
        (("logs", "export", "OUT.xls", "--format", "xls"), "ndjson, csv, parquet"),
    ],
)
async def test_what_is_asked_wrongly_fails_with_a_remedy_and_leaves_nothing(
    setup: Setup, tmp_path: Path, words: tuple[str, ...], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with homeostat(setup, tmp_path / "data") as place:
        done = await anyio.to_thread.run_sync(partial(CliRunner().invoke, app, [*words, "--url", place.url]))
    assert done.exit_code != 0
    assert remedy in str(done.exception)
    assert [path.name for path in tmp_path.iterdir() if "OUT" in path.name] == []
