"""Sets the stage: a real ``homeostat up`` in a process of its own beside a world, each told where the other is."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict

from homeostat.core.config import ReceiverConfig
from homeostat.core.errors import HomeostatError
from homeostat.core.ports import Clock
from homeostat.world.client import WorldClient
from homeostat.world.config import GeneratorConfig, WorldConfig, generator_from_environment
from homeostat.world.journeys import service_names
from homeostat.world.launch import launch_world
from homeostat.world.lifeline import tied
from homeostat.world.rehearsal.calm import ALL_OFF
from homeostat.world.rehearsal.witness import Witness

READY_FILE = "ready.json"
READY_DEADLINE_S = 30.0
STOP_DEADLINE_S = 10.0
DEMO_TRAFFIC = GeneratorConfig(interval_ms=250, batch_size=8)


class StageOptions(BaseModel):
    """What is set up. Port 0 takes any free port."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_dir: Path
    seed: int
    heal: bool
    api_port: int = 0
    otlp_http_port: int = 0
    otlp_grpc_port: int = 0
    hold_off_s: float = 2.0
    show_journeys: bool = False  # the world's own log lines, one a journey, on standard error
    remediations_per_hour: int = 10_000  # a rehearsal breaks things far more often than life does


class Ready(BaseModel):
    """What ``homeostat up`` writes into its data directory once it answers."""

    pid: int
    url: str
    otlp_http: str | None
    otlp_grpc: str | None


@dataclass(frozen=True, slots=True)
class Stage:
    """A running Homeostat and a running world."""

    url: str
    homeostat_pid: int
    world: WorldClient
    witness: Witness


@asynccontextmanager
async def staged(options: StageOptions, clock: Clock) -> AsyncGenerator[Stage]:
    """Start both, and stop both at the end.

    Raises HomeostatError with the last lines of the log when one of them does not start.
    """
    options.run_dir.mkdir(parents=True, exist_ok=True)
    world_port = free_port()
    config_path = options.run_dir / "homeostat.yaml"
    config_path.write_text(homeostat_config(options, world_port), encoding="utf-8")
    async with AsyncExitStack() as stack:
        # Homeostat ends before the world does: it would take the world's end for nine crashes.
        world_ends = await stack.enter_async_context(_at_last())
        ready = await stack.enter_async_context(_homeostat(config_path, options.run_dir, clock))
        world = await launch_world(
            WorldConfig(
                run_dir=options.run_dir / "world",
                otlp_endpoint=ready.otlp_http,
                flags_url=ready.url,
                seed=options.seed,
                port=world_port,
                generator=generator_from_environment(os.environ, DEMO_TRAFFIC),
            ),
            stdout=sys.stderr if options.show_journeys else None,
        )
        world_ends.push_async_callback(world.stop)
        witness = Witness(ready.url)
        stack.push_async_callback(witness.close)
        yield Stage(ready.url, ready.pid, world.client, witness)


@asynccontextmanager
async def _at_last() -> AsyncGenerator[AsyncExitStack]:
    """A place for what is to be done last, even when cancelled."""
    async with AsyncExitStack() as stack:
        try:
            yield stack
        finally:
            with anyio.CancelScope(shield=True):
                await stack.aclose()


@asynccontextmanager
async def _homeostat(config_path: Path, run_dir: Path, clock: Clock) -> AsyncGenerator[Ready]:
    log_path = run_dir / "homeostat.log"
    ready_path = run_dir / "data" / READY_FILE
    ready_path.unlink(missing_ok=True)
    with log_path.open("wb") as log:
        process = spawn_homeostat(config_path, log)
        try:
            yield await wait_until_ready(process, ready_path, log_path, clock)
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process)


def spawn_homeostat(config_path: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """``homeostat up`` in a process and session of its own, which ends with this one."""
    command = tied([sys.executable, "-m", "homeostat.cli.main", "up", "--config", str(config_path)])
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


async def wait_until_ready(
    process: "subprocess.Popen[bytes]", ready_path: Path, log_path: Path, clock: Clock
) -> Ready:
    """Where it answers. Raises HomeostatError with the end of its log when it ends or takes too long."""
    deadline = clock.monotonic() + READY_DEADLINE_S
    while clock.monotonic() < deadline:
        if process.poll() is not None:
            raise HomeostatError(f"Homeostat did not start:\n{_tail(log_path)}")
        if ready_path.exists():
            ready = Ready.model_validate_json(ready_path.read_text(encoding="utf-8"))
            if ready.pid == process.pid:
                return ready
        await anyio.sleep(0.02)
    raise HomeostatError(f"Homeostat was not ready within {READY_DEADLINE_S:.0f} s:\n{_tail(log_path)}")


async def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            await anyio.to_thread.run_sync(process.wait, STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await anyio.to_thread.run_sync(process.wait)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def free_port() -> int:
    """A port that was free a moment ago: Homeostat has to know the world's before the world can start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def homeostat_config(options: StageOptions, world_port: int) -> str:
    """A configuration file as a user would write it (JSON is YAML)."""
    world_url = f"http://127.0.0.1:{world_port}"
    config: Mapping[str, object] = {
        # A Jaeger or a collector may be running here.
        "server": {"port": options.api_port, "jaeger_query_port": None, "prometheus_port": None},
        "receivers": ReceiverConfig.only(
            otlp_http_port=options.otlp_http_port, otlp_grpc_port=options.otlp_grpc_port
        ).model_dump(),
        "storage": {"path": "data"},
        "watch": {
            "processes": [
                {
                    "name": name,
                    "pid_file": f"world/{name}.pid",
                    "restart": {"url": f"{world_url}/world/services/{name}/restart"},
                }
                for name in service_names()
            ]
        },
        "heal": {
            "mode": "auto" if options.heal else "observe",
            "limits": {
                "per_resource_per_hour": options.remediations_per_hour,
                "per_hour": options.remediations_per_hour,
            },
            # In a rehearsal the flag coming back IS the next fault, so relapses must not lengthen the hold-off.
            "recovery": {"hold_off": f"{options.hold_off_s}s", "backoff": 1.0},
        },
        "flags": {"initial": dict(ALL_OFF)},
        "world_url": world_url,
    }
    return json.dumps(config, indent=2) + "\n"
