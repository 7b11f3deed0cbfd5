"""A real Alertmanager (Debian's ``prometheus-alertmanager``) on a free port, with a webhook receiver of ours."""

import json
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from aiohttp import web

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
READY_WITHIN_S = 20.0

needs_alertmanager = pytest.mark.skipif(
    BINARY is None, reason="no prometheus-alertmanager here: apt-get install prometheus-alertmanager"
)

CONFIGURATION = """
route:
  receiver: hook
  group_by: [alertname, service]
  group_wait: 100ms
  group_interval: 300ms
  repeat_interval: 1h
receivers:
  - name: hook
    webhook_configs:
      - url: {url}
        send_resolved: true
"""


@dataclass
class Hook:
    """What the Alertmanager has sent to its webhook receiver."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, status: str, alertname: str, within_s: float = 20.0) -> dict[str, Any]:
        """The first message with such an alert."""
        with anyio.fail_after(within_s):
            while True:
                for message in self.messages:
                    for alert in message["alerts"]:
                        if alert["status"] == status and alert["labels"]["alertname"] == alertname:
                            return message
                await anyio.sleep(0.05)


@dataclass(frozen=True)
class RealAlertmanager:
    """Its address and its receiver."""

    url: str
    hook: Hook
    client: httpx2.AsyncClient

    async def alerts(self) -> list[dict[str, Any]]:
        """What it takes for firing."""
        return (await self.client.get(f"{self.url}/api/v2/alerts")).json()

    async def silence(self, start: str, end: str, *matchers: dict[str, Any]) -> str:
        """Make a silence; its id."""
        body = {
            "startsAt": start,
            "endsAt": end,
            "createdBy": "ann",
            "comment": "planned",
            "matchers": list(matchers),
        }
        return (await self.client.post(f"{self.url}/api/v2/silences", json=body)).json()["silenceID"]


@asynccontextmanager
async def real_alertmanager(folder: Path) -> AsyncGenerator[RealAlertmanager]:
    """Start one, and end it."""
    hook = Hook()
    async with _receiving(hook) as hook_url, httpx2.AsyncClient(trust_env=False) as client:
        config = folder / "alertmanager.yml"
        config.write_text(CONFIGURATION.format(url=hook_url))
        port = _free_port()
        process = _started(config, folder / "alertmanager", port)
        try:
            url = f"http://127.0.0.1:{port}"
            await _ready(client, url)
            yield RealAlertmanager(url, hook, client)
        finally:
            process.terminate()
            process.wait(10)


def _started(config: Path, data: Path, port: int) -> subprocess.Popen[bytes]:
    assert BINARY is not None
    options = (f"--config.file={config}", f"--storage.path={data}", f"--web.listen-address=127.0.0.1:{port}")
    return subprocess.Popen(
        [BINARY, *options, "--cluster.listen-address="], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def _ready(client: httpx2.AsyncClient, url: str) -> None:
    with anyio.fail_after(READY_WITHIN_S):
        while True:
            try:
                if (await client.get(f"{url}/-/ready")).is_success:
                    return
            except httpx2.TransportError:
                pass
            await anyio.sleep(0.05)


@asynccontextmanager
async def _receiving(hook: Hook) -> AsyncGenerator[str]:
    async def receive(request: web.Request) -> web.Response:
        hook.messages.append(json.loads(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def _free_port() -> int:
    """A port that was free a moment ago: Alertmanager cannot be told to take any and say which."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
