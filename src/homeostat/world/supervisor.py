"""The first process of a world: starts the services, runs the customers, answers the control and journey APIs.

``python -m homeostat.world.supervisor --config FILE``; ``launch`` does that. Apart from Homeostat in every respect:
its own process tree, its own files under ``run_dir`` (``control.json``, ``<service>.pid``, ``world.lock``).
"""

import argparse
import fcntl
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
from collections import abc
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anyio
import uvloop
from anyio.abc import TaskGroup
from pydantic import ValidationError
from starlette.applications import Starlette

from homeostat.core.errors import BadRequestError, HomeostatError, PortTakenError
from homeostat.runtime import SystemClock, SystemIds
from homeostat.world.breakers import BreakerAdmin
from homeostat.world.config import CONTROL_FILE, WorldConfig, generator_from_environment
from homeostat.world.control import ControlApi
from homeostat.world.fleet import Fleet
from homeostat.world.generator import Generator
from homeostat.world.journey_api import JourneyApi
from homeostat.world.journeys import service_names
from homeostat.world.ledger import Ledger
from homeostat.world.only_from_here import OnlyFromHere
from homeostat.world.processes import clear_stale_pid_files, write_atomically
from homeostat.world.runner import CUSTOMERS_SERVICE, JourneyRunner
from homeostat.world.serving import make_server
from homeostat.world.telemetry import Telemetry
from homeostat.world.wire import HttpClient
from homeostat.world.zygote import name_process, start_ticks

log = logging.getLogger(__name__)

LOCK_FILE = "world.lock"
JOURNEY_LOG_BYTES = 4 << 20


@contextmanager
def only_world_in(run_dir: Path) -> abc.Generator[None, None, None]:
    """Hold the directory's lock. Raises BadRequestError when another world has it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "?"
            raise BadRequestError(
                f"A world already runs in {run_dir}. End it with: kill {pid} - or choose another directory."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def listen(port: int) -> socket.socket:
    """The control API's socket. Raises PortTakenError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise PortTakenError(f"The world cannot listen on 127.0.0.1:{port}: {error}. Choose another port.") from None
    listener.listen(512)
    return listener


async def supervise(config: WorldConfig) -> None:
    """Run the world until SIGTERM or SIGINT."""
    clock = SystemClock()
    began = clock.monotonic()
    with listen(config.port) as listener:
        client = HttpClient()
        telemetry = Telemetry(CUSTOMERS_SERVICE, config.otlp_endpoint, config.export_interval_ms, clock)
        try:
            async with anyio.create_task_group() as tasks:
                await _live(config, clock, began, listener, client, telemetry, tasks)
                tasks.cancel_scope.cancel()
        finally:
            await client.close()
            (config.run_dir / CONTROL_FILE).unlink(missing_ok=True)
            telemetry.close()


async def _live(
    config: WorldConfig,
    clock: SystemClock,
    began: float,
    listener: socket.socket,
    client: HttpClient,
    telemetry: Telemetry,
    tasks: TaskGroup,
) -> None:
    fleet = Fleet(config, clock, client, tasks)
    ledger = Ledger(clock, config.seed)

    async def locate(service: str) -> tuple[str, int]:
        name = await fleet.ensure(service)
        return name, fleet.port(name)

    runner = JourneyRunner(locate=locate, client=client, telemetry=telemetry, ledger=ledger, clock=clock)
    generator = Generator(config.generator, config.seed, runner, ledger, clock)
    control = ControlApi(config, fleet, ledger, generator, clock, began)
    journeys = JourneyApi(runner, generator, BreakerAdmin(fleet, client), SystemIds(), config.seed)
    app = OnlyFromHere(Starlette(routes=[*control.routes(), *journeys.routes()]))
    server = make_server(app, graceful_s=2, concurrency_max=512)
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        try:
            with anyio.CancelScope() as life:
                tasks.start_soon(_end_on_signal, signals, life)
                await fleet.start(service_names())
                tasks.start_soon(server.serve, [listener])
                _announce(config, listener)
                log.info("The world is up: %d services in %.2f s", len(fleet.names()), clock.monotonic() - began)
                await generator.run()
        finally:
            with anyio.CancelScope(shield=True):
                server.should_exit = True
                await fleet.stop()
                log.info("The world has ended")


async def _end_on_signal(signals: abc.AsyncIterator[signal.Signals], life: anyio.CancelScope) -> None:
    async for number in signals:
        log.info("Ending: %s", number.name)
        life.cancel()
        return


def _announce(config: WorldConfig, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    pid = os.getpid()
    told = {"url": f"http://127.0.0.1:{port}", "port": port, "pid": pid, "start_ticks": start_ticks(pid)}
    write_atomically(config.run_dir / CONTROL_FILE, json.dumps(told) + "\n")


def _set_up_logging(run_dir: Path, stdout: IO[str]) -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s world %(levelname)s %(message)s", stream=sys.stderr, force=True
    )
    journeys = logging.getLogger("homeostat.world.journeys")
    journeys.propagate = False
    rotating = logging.handlers.RotatingFileHandler(
        run_dir / "journeys.log", maxBytes=JOURNEY_LOG_BYTES, backupCount=1, encoding="utf-8"
    )
    for handler in (rotating, logging.StreamHandler(stdout)):
        handler.setFormatter(logging.Formatter("%(message)s"))
        journeys.addHandler(handler)


def read_config(path: Path) -> WorldConfig:
    """The configuration in a JSON file, with the original's environment variables on top.

    Raises BadRequestError that says what is wrong.
    """
    try:
        config = WorldConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadRequestError(f"The world's configuration {path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise BadRequestError(f"The world's configuration {path} cannot be used: {error}.") from None
    return config.model_copy(update={"generator": generator_from_environment(os.environ, config.generator)})


def main() -> int:
    """Exit codes: 0 ended as asked, 2 bad configuration, 1 anything else."""
    parser = argparse.ArgumentParser(prog="homeostat.world.supervisor", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a WorldConfig as JSON")
    arguments = parser.parse_args()
    code = 0
    try:
        config = read_config(arguments.config)
        with only_world_in(config.run_dir):
            name_process("homeostat-world")
            _set_up_logging(config.run_dir, sys.stdout)
            clear_stale_pid_files(config.run_dir)
            uvloop.run(supervise(config))
    except* (BadRequestError, PortTakenError) as errors:
        code = _told(errors, 2)
    except* HomeostatError as errors:
        code = _told(errors, 1)
    return code


def _told(errors: BaseExceptionGroup[HomeostatError], code: int) -> int:
    for error in errors.exceptions:
        print(error, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
