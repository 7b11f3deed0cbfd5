"""Starts a world as a process tree of its own and waits until it is up. Used by ``homeostat demo`` and tests."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import anyio

from homeostat.core.errors import ActionError
from homeostat.world.client import WorldClient
from homeostat.world.config import CONTROL_FILE, GeneratorConfig, WorldConfig
from homeostat.world.lifeline import tied

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02


@dataclass(slots=True)
class WorldHandle:
    """A running world. It ends with ``stop``, or with the process that started it, however that ends."""

    url: str
    pid: int
    run_dir: Path
    client: WorldClient = field(repr=False)
    _process: "subprocess.Popen[bytes]" = field(repr=False)

    def pid_file(self, service: str) -> Path:
        """Where the pid of a service stands."""
        return self.run_dir / f"{service}.pid"

    async def stop(self) -> None:
        """End the world in good order, by force if it does not listen; nothing of it is left."""
        await self.client.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(STOP_TIMEOUT_S, shield=True):
            while self._process.poll() is None:
                await anyio.sleep(POLL_S)
        if self._process.poll() is None:
            self._process.kill()  # its services die with it
            await anyio.to_thread.run_sync(self._process.wait)


async def start_world(
    *,
    run_dir: Path,
    otlp_endpoint: str | None = None,
    flags_url: str | None = None,
    seed: int = 1,
    port: int = 0,
    generator: GeneratorConfig | None = None,
) -> WorldHandle:
    """``launch_world`` with the settings that matter most."""
    return await launch_world(
        WorldConfig(
            run_dir=run_dir,
            otlp_endpoint=otlp_endpoint,
            flags_url=flags_url,
            seed=seed,
            port=port,
            generator=generator or GeneratorConfig(),
        )
    )


async def launch_world(
    config: WorldConfig, *, stdout: IO[str] | int | None = None, environment: dict[str, str] | None = None
) -> WorldHandle:
    """Start a world; returns when all services answer. Raises ActionError with the end of its log when they do not.

    ``stdout`` is where the journeys' log lines go; None: only to ``journeys.log`` in the run directory. What the
    original's environment variables say counts only when they stand in ``environment``.
    """
    log_path = config.run_dir / "world.log"
    process = _spawn(config, log_path, stdout, environment)
    with anyio.move_on_after(START_TIMEOUT_S):
        while process.poll() is None:
            told = _read_control(config.run_dir / CONTROL_FILE)
            if told is not None and told["pid"] == process.pid:
                url = str(told["url"])
                return WorldHandle(url, process.pid, config.run_dir, WorldClient(url), process)
            await anyio.sleep(POLL_S)
    if process.poll() is None:
        process.kill()
        process.wait()
    tail = log_path.read_text(encoding="utf-8", errors="replace")[-2_000:].strip()
    raise ActionError(f"The world did not start. The end of {log_path}:\n{tail}")


def _spawn(
    config: WorldConfig, log_path: Path, stdout: IO[str] | int | None, environment: dict[str, str] | None
) -> "subprocess.Popen[bytes]":
    config.run_dir.mkdir(parents=True, exist_ok=True)
    file = config.run_dir / "config.json"
    file.write_text(config.model_dump_json(indent=1), encoding="utf-8")
    with log_path.open("ab") as log:
        return subprocess.Popen(
            tied([sys.executable, "-m", "homeostat.world.supervisor", "--config", str(file)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is for whoever started us, not for the world
            env=_environment(environment),
        )


def _environment(extra: dict[str, str] | None) -> dict[str, str]:
    names = ("ENABLE_CONTINUOUS_JOURNEYS", "JOURNEY_INTERVAL_MS", "JOURNEY_BATCH_SIZE", "JOURNEY_THINK_TIME_MS")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return inherited | (extra or {})


def _read_control(path: Path) -> dict[str, str | int] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
