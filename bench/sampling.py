"""``script/bench sampling``: whole traces under late spans, disorder and kill -9, and true weighted counts.

A million spans of 100,000 traces of 12 services go over HTTP into a real receiver in a process of its own, in the
order of a network that is none. Five times, at random moments under load, it is killed with SIGKILL and started
again; senders send again what was not acknowledged. Then what is stored and the persisted rates are read back and
compared with what was sent. With ``--library`` it is the sampler alone, between a log and segments in memory.

A request may be durable although its answer was lost with the process: its sender, who can't know, sends it again. It
must be neither stored nor counted twice.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

import anyio
import numpy as np
import pyarrow as pa

from bench import _sampling_library
from bench._disorder import LENGTH_S, SERVICES, Made, Numbers, Requests, make
from bench._sampled import figures, stored_spans
from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.observe.pipeline import running
from homeostat.runtime import SystemClock
from homeostat.store.telemetry.store import EmbeddedTelemetryStore

SENDERS: Final = 8
KILLED_BETWEEN: Final = (0.05, 0.95)  # of all requests acknowledged
KILL_DELAY_S: Final = 0.3
ANSWER_S: Final = 120.0
Request = tuple[Numbers, bytes]


class Load:
    """The requests that are to be sent, and what became of each. Shared by all senders."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._changed = threading.Condition()
        self._port: int | None = None
        self._parked: set[int] = set()  # senders without an answer, while there is nobody to ask
        self._senders = SENDERS
        self.acknowledged = 0
        self.retried = 0

    def next(self) -> Request | None:
        """Something to send; None at the end."""
        with self._changed:
            return next(self._requests, None)

    def port(self) -> int:
        """Where to send to; waits until there is somebody."""
        with self._changed:
            self._changed.wait_for(lambda: self._port is not None)
            assert self._port is not None
            return self._port

    def answered(self) -> None:
        """One more request is acknowledged."""
        with self._changed:
            self.acknowledged += 1
            self._changed.notify_all()

    def park(self, port: int) -> None:
        """The receiver at this port is gone without an answer: wait for the next one."""
        with self._changed:
            self._parked.add(threading.get_ident())
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._port not in (None, port))
            self._parked.discard(threading.get_ident())
            self.retried += 1

    def leave(self) -> None:
        """A sender has no more to do."""
        with self._changed:
            self._senders -= 1
            self._changed.notify_all()

    def wait_for(self, acknowledged: int) -> bool:
        """Until so many are acknowledged, or all senders are done: False."""
        with self._changed:
            self._changed.wait_for(lambda: self.acknowledged >= acknowledged or not self._senders)
            return self._senders > 0

    def open(self, port: int) -> None:
        """A receiver is there."""
        with self._changed:
            self._port = port
            self._changed.notify_all()

    def close(self) -> None:
        """There is nobody any more; returns when every sender has noticed."""
        with self._changed:
            self._port = None
            self._changed.wait_for(lambda: len(self._parked) >= self._senders)


def _send_all(load: Load) -> None:
    while (request := load.next()) is not None:
        _send(load, request)
    load.leave()


def _send(load: Load, request: Request) -> None:
    """Until it is acknowledged, over whatever receiver there is."""
    while True:
        port = load.port()
        connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        try:
            connection.request("POST", "/v1/traces", request[1], {"Content-Type": "application/x-protobuf"})
            status = connection.getresponse().status
        except (OSError, HTTPException):
            load.park(port)
            continue
        finally:
            connection.close()
        if status == 200:
            load.answered()
            return
        if status != 503:
            raise SystemExit(f"the receiver answered {status}")
        time.sleep(0.05)  # overloaded: it asked to be asked again


class Receiver:
    """A process with the whole telemetry path."""

    def __init__(self, directory: Path) -> None:
        began = time.monotonic()
        command = [sys.executable, "-m", "bench._receiver", str(directory), "often"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port: int = self._line()["port"]
        self.start_s = time.monotonic() - began
        self.cpu_s = 0.0
        self.peak_rss_mb = 0.0

    def _line(self) -> dict[str, int]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """Nothing is closed or written."""
        self.look()
        self._process.send_signal(signal.SIGKILL)
        self._wait()

    def settle(self) -> dict[str, int]:
        """Everything is decided and written; what it used."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        used = self._line()
        self._wait()
        return used

    def look(self) -> None:
        """Its memory. ``ru_maxrss`` would also count what this process had when it started the other."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM")), "0")
        self.peak_rss_mb = max(self.peak_rss_mb, int(peak) / 1024)

    def _wait(self) -> None:
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_s = usage.ru_utime + usage.ru_stime
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def _drive(directory: Path, made: Made, restarts: int, seed: int) -> tuple[list[Receiver], Load]:
    """Send everything; the receivers that there were."""
    chance = random.Random(seed)
    requests = Requests(made, time.time_ns() - int(LENGTH_S * 1e9))
    load = Load(iter(requests))
    bounds = [int(share * requests.count) for share in KILLED_BETWEEN]
    kills = sorted(chance.sample(range(*bounds), restarts))
    receivers = [Receiver(directory)]
    load.open(receivers[-1].port)
    senders = [threading.Thread(target=_send_all, args=(load,), daemon=True) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for number, at in enumerate(kills, 1):
        load.wait_for(at)
        time.sleep(chance.uniform(0, KILL_DELAY_S))
        receivers[-1].kill()
        load.close()
        receivers.append(Receiver(directory))
        load.open(receivers[-1].port)
        print(f"kill {number} of {restarts}: back after {receivers[-1].start_s:.2f} s", file=sys.stderr)
    for sender in senders:
        sender.join()
    receivers[-1].look()
    receivers[-1].settle()
    return receivers, load


def _stored(directory: Path) -> pa.Table:
    """What segments hold."""
    store = EmbeddedTelemetryStore(StorageConfig(path=directory), SystemClock())
    assert list(store.replay()) == [], "everything is settled"
    tables = [segment.read(["span_id", "sampling_probability"]) for segment in store.parts()[1]]
    store.close()
    return pa.concat_tables(tables)


async def _requests_by_service(directory: Path) -> Numbers:
    """What persisted rates say after one more start."""
    storage, clock = StorageConfig(path=directory), SystemClock()
    async with running(ReceiverConfig.only(), storage, clock) as pipeline:
        now_s = int(clock.now().timestamp())
        points = pipeline.red.window(now_s - 6 * 3600, now_s + 3600)
    counted = np.zeros(SERVICES, dtype=np.int64)
    for point in points:
        counted[int(point.service.partition("-")[2])] = point.requests
    return counted


def measure(traces: int, restarts: int, seed: int) -> dict[str, float]:
    """Run once; flat numbers."""
    made = make(traces, seed)
    with tempfile.TemporaryDirectory(prefix="homeostat-sampling-") as name:
        directory = Path(name)
        began = time.monotonic()
        receivers, load = _drive(directory, made, restarts, seed)
        wall_s = time.monotonic() - began
        stored = _stored(directory)
        counted = anyio.run(_requests_by_service, directory)
    rows, probability = stored_spans(made, stored)
    acknowledged = np.bincount(made.service[made.serves], minlength=SERVICES)
    cpu_s = sum(receiver.cpu_s for receiver in receivers)
    return {
        "traces": made.traces,
        "spans": made.spans,
        "restarts": len(receivers) - 1,
        **figures(made, rows, probability),
        "spans_stored_twice": stored.num_rows - len(rows),
        "requests_acknowledged": int(acknowledged.sum()),
        "requests_counted": int(counted.sum()),
        "requests_miscounted": int(np.abs(counted - acknowledged).sum()),
        "posts_without_answer": load.retried,
        "spans_per_cpu_second": round(made.spans / cpu_s),
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(wall_s, 1),
        "restart_s_max": round(max(receiver.start_s for receiver in receivers[1:]), 2) if restarts else 0.0,
        "peak_rss_mb": round(max(receiver.peak_rss_mb for receiver in receivers), 1),
    }


def main(argv: list[str] | None = None) -> None:
    """Print the numbers, one line each or as one JSON object; fails when a trace is not whole or a count not true."""
    parser = argparse.ArgumentParser(prog="bench.sampling", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    parser.add_argument("--library", action="store_true", help="the sampler alone, without processes")
    parser.add_argument("--traces", type=int, default=100_000, help="of ten spans each (default 100,000)")
    parser.add_argument("--restarts", type=int, default=5, help="kills on the way (default 5)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    run = _sampling_library.measure if options.library else measure
    numbers = run(options.traces, options.restarts, options.seed)
    if options.json:
        print(json.dumps(numbers))
    else:
        for name, value in numbers.items():
            print(f"{name:45} {value:>14,}")
    wrong = ("half_kept", "traces_of_two_probabilities", "requests_miscounted")
    sys.exit(int(any(numbers.get(name, 0) for name in wrong)))


if __name__ == "__main__":
    main()
