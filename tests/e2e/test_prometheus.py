"""A real Prometheus writes to Homeostat, and scrapes it: what both then know is the same."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import STDOUT

import anyio
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.metrics import MetricAggregation, MetricQuery, MetricType
from homeostat.net import bind, bound_port
from homeostat.observe.pipeline import Pipeline, running
from homeostat.runtime import SystemClock

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="prometheus is not installed (Debian package prometheus)"
    ),
]

CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs:
- job_name: shop
  static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
remote_write:
- url: http://127.0.0.1:{homeostat}/api/v1/write
  queue_config: {{batch_send_deadline: 200ms}}
  metadata_config: {{send_interval: 500ms}}
"""


@asynccontextmanager
async def _prometheus(folder: Path, target: int, homeostat: int) -> AsyncGenerator[None]:
    """Debian's Prometheus on a free port."""
    with bind("127.0.0.1", 0) as listener:
        port = bound_port(listener)
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(target=target, homeostat=homeostat), encoding="utf-8")
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    process = await anyio.open_process(command, stderr=STDOUT)
    try:
        yield
    finally:
        process.terminate()
        with anyio.CancelScope(shield=True):
            await process.aclose()


@asynccontextmanager
async def _homeostat(folder: Path) -> AsyncGenerator[Pipeline]:
    receivers = ReceiverConfig.only(otlp_http_port=0)
    async with running(receivers, StorageConfig(path=folder / "data", min_free_mib=1), SystemClock()) as found:
        yield found


async def _last(pipeline: Pipeline, name: str) -> float | None:
    """The newest value of a metric's only series; None: there is none."""
    now = datetime.now(UTC)
    query = MetricQuery(
        name=name,
        start=now - timedelta(minutes=5),
        end=now + timedelta(minutes=1),
        step_s=360,
        service="shop",
        aggregation=MetricAggregation.LAST,
    )
    found = await pipeline.metrics.series(query)
    values = [value for series in found for value in series.values if value is not None]
    return values[-1] if values else None


async def test_what_prometheus_writes_arrives_with_its_type_and_its_last_value(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    orders = Counter("orders", "Orders taken.", registry=registry)
    latency = Histogram("latency_seconds", "How long.", buckets=(0.1, 1.0), registry=registry)
    orders.inc(41)
    latency.observe(0.5)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        async with _homeostat(tmp_path) as pipeline:
            assert pipeline.http_port is not None
            async with _prometheus(tmp_path, server.server_port, pipeline.http_port):
                with anyio.fail_after(60):
                    while await _last(pipeline, "orders_total") != 41:
                        await anyio.sleep(0.05)
                    orders.inc()
                    while await _last(pipeline, "orders_total") != 42 or await _last(pipeline, "up") != 1:
                        await anyio.sleep(0.05)
            found = await pipeline.metrics.metrics(datetime.now(UTC) - timedelta(minutes=5))
            assert pipeline.counters.refused == {}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    infos = {info.name: info for info in found}
    assert (infos["orders_total"].type, infos["orders_total"].monotonic) == (MetricType.SUM, True)
    assert (infos["latency_seconds_bucket"].type, infos["latency_seconds_bucket"].monotonic) == (MetricType.SUM, True)
    assert (infos["up"].type, infos["up"].services) == (MetricType.GAUGE, ("shop",))
