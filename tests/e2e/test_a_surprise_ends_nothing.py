"""A background task of a running Homeostat meets an exception nobody declared: everything goes on, and it too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pyarrow as pa
import pytest

from homeostat import background
from homeostat.api.app import create_api
from homeostat.app import Homeostat, running
from homeostat.core.config import Config, ReceiverConfig
from homeostat.drivers.nginx.sensors import NginxReader
from homeostat.drivers.process.sensors import ProcessSensor
from homeostat.drivers.telemetry import Metrics, Spans
from homeostat.notify.outbox import Outbox
from homeostat.observe.correlate import Correlator
from homeostat.observe.receivers.prometheus_scrape import Scraper
from homeostat.observe.slo import SloService
from homeostat.runtime import SystemClock
from homeostat.server import api_parts

WITHIN_S = 20.0


def _config(folder: Path) -> Config:
    return Config.model_validate(
        {
            "server": {"port": 0},
            "receivers": ReceiverConfig.only(otlp_http_port=0),
            "storage": {"path": folder / "data"},
            "alerting": {"alertmanager_url": "http://127.0.0.1:1"},
            "metrics": {"scrape": [{"job": "shop", "url": "http://127.0.0.1:1/metrics", "interval": "1s"}]},
            "watch": {
                "processes": [{"name": "shop", "pid_file": folder / "shop.pid"}],
                "nginx": [{"access_log": folder / "access.log"}],
            },
        }
    )


def _surprising(original: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    async def surprise_at_first(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise pa.ArrowInvalid("a surprise")
        return await original(*args, **more)

    return surprise_at_first


@pytest.mark.parametrize(
    ("part", "method", "task"),
    [
        (SloService, "look", "objectives"),
        (Correlator, "look", "correlation"),
        (Outbox, "look", "alerting"),
        (Scraper, "scrape", "scrape"),
        (NginxReader, "read", "server"),
        (ProcessSensor, "watch", "sensor"),
    ],
)
async def test_the_task_begins_anew_and_the_others_do_not_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: type, method: str, task: str
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(background, "PAUSE_S", 0.02)
    monkeypatch.setattr(part, method, _surprising(getattr(part, method), calls))
    with anyio.fail_after(WITHIN_S):
        async with running(_config(tmp_path), SystemClock()) as homeostat:
            while len(calls) < 2:
                await anyio.sleep(0.01)
            assert homeostat.background.failures()[task] == 1
            detail, metrics = await _told(homeostat)
    assert "a surprise" in detail
    assert f'homeostat_task_failures_total{{task="{task}"}} 1' in metrics


async def test_an_access_log_is_not_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, told, calls = tmp_path / "access.log", list[int](), list[int]()
    original = NginxReader.read

    async def surprise_after_lines(self: NginxReader, metrics: Metrics, spans: Spans) -> None:
        await original(self, metrics, spans)
        calls.append(len(spans))
        told.extend([1] * len(spans))
        if len(calls) == 1:  # the end of the log is known now
            _write(log, 2)
        elif len(spans) and len(told) == 2:
            _write(log, 1)
            raise pa.ArrowInvalid("a surprise")

    monkeypatch.setattr(background, "PAUSE_S", 0.02)
    monkeypatch.setattr(NginxReader, "read", surprise_after_lines)
    _write(log, 500)
    with anyio.fail_after(WITHIN_S):
        async with running(_config(tmp_path), SystemClock()) as homeostat:
            while len(told) < 3:
                await anyio.sleep(0.01)
            assert homeostat.background.failures()["server"] == 1
    assert len(told) == 3, f"lines of each look: {calls}"


def _write(log: Path, requests: int) -> None:
    with log.open("a") as file:
        file.write('{"time":"1795200000.250","duration":"0.1","method":"GET","status":"200"}\n' * requests)


async def _told(homeostat: Homeostat) -> tuple[str, str]:
    """Health and metrics as people get them."""
    api = create_api(api_parts(homeostat))
    transport = httpx2.ASGITransport(api)
    async with (
        api.router.lifespan_context(api),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:4000", timeout=20) as client,
    ):
        health = (await client.get("/api/health")).json()
        assert health["status"] == "degraded"
        return health["detail"], (await client.get("/metrics")).text
