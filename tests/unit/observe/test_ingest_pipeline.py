"""The telemetry path as a whole: restarts, taken ports, a store that is slow, and kill -9 under load."""

import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import anyio
import httpx2
import pyarrow as pa
import pytest

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import ListenError, PortTakenError
from homeostat.net import bind, bound_port
from homeostat.observe.decode import traces
from homeostat.observe.decode.traces import Decoded, decode
from homeostat.observe.pipeline import Pipeline, running
from homeostat.observe.red import Red
from homeostat.store.telemetry.store import EmbeddedTelemetryStore, FlushPolicy
from support.spans import CLIENT, NOON, NOON_S, HandClock, S, body, trace_hex

HTTP_ONLY = ReceiverConfig.only(otlp_http_port=0)
PROTOBUF = {"content-type": "application/x-protobuf"}


def _storage(path: Path) -> StorageConfig:
    return StorageConfig(path=path, min_free_mib=1)


async def _send(pipeline: Pipeline, spans: list[S]) -> None:
    async with httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{pipeline.http_port}/v1/traces"
        response = await client.post(url, content=body(spans), headers=PROTOBUF)
    assert response.status_code == 200


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


async def test_after_a_restart_traces_red_and_topology_are_there_again(tmp_path: Path) -> None:
    clock = HandClock()
    spans = [S(1, 1, service="shop", at=-20), S(1, 2, 1, "shop", kind=CLIENT, at=-20), S(1, 3, 2, "bank", at=-20)]
    async with running(HTTP_ONLY, _storage(tmp_path), clock) as pipeline:
        await _send(pipeline, spans)
        await _until(lambda: pipeline.red.edges(NOON_S - 60, NOON_S) != [])  # counted after the answer was sent
        before = (pipeline.red.window(NOON_S - 60, NOON_S), pipeline.red.edges(NOON_S - 60, NOON_S))
        trace = await pipeline.store.trace(trace_hex(1))
    assert trace is not None
    assert before[1][0].caller == "shop"
    for _ in range(2):
        async with running(HTTP_ONLY, _storage(tmp_path), clock) as pipeline:
            assert (pipeline.red.window(NOON_S - 60, NOON_S), pipeline.red.edges(NOON_S - 60, NOON_S)) == before
            assert await pipeline.store.trace(trace_hex(1)) == trace


async def test_a_request_that_is_sent_again_counts_once_also_after_a_restart(tmp_path: Path) -> None:
    async with running(HTTP_ONLY, _storage(tmp_path), HandClock()) as pipeline:
        for spans in ([S(1, 1, at=-20)], [S(1, 1, at=-20)], [S(2, 1, at=-20)]):
            await _send(pipeline, spans)
        await _until(lambda: sum(pipeline.red.totals().kinds) == 2)
        assert pipeline.counters.request_duplicates == {"traces": 1}
        shutil.copytree(tmp_path / "telemetry", tmp_path / "killed" / "telemetry")  # what a kill would leave
    async with running(HTTP_ONLY, _storage(tmp_path / "killed"), HandClock()) as pipeline:
        await _send(pipeline, [S(2, 1, at=-20)])
        assert pipeline.counters.request_duplicates == {"traces": 1}
        assert pipeline.red.window(NOON_S - 60, NOON_S)[0].requests == 2


async def test_the_time_in_which_nobody_counted_is_known_to_be_unknown(tmp_path: Path) -> None:
    clock = HandClock()
    for at in (0, 40 * 60, 44 * 60):
        clock.advance(at - (clock.now() - NOON).total_seconds())
        async with running(HTTP_ONLY, _storage(tmp_path), clock) as pipeline:
            await _send(pipeline, [S(1 + at, 1, at=at - 10)])
            clock.advance(60)
    clock.advance(12 * 60)
    async with running(HTTP_ONLY, _storage(tmp_path), clock) as pipeline:
        reach = pipeline.red.reach()
        assert reach.known_from_s == NOON_S
        minutes = [((since - NOON_S) / 60, (to - NOON_S) / 60) for since, to in reach.gaps]
        assert minutes == [(1, 40), (41, 44), (45, 57)]
        assert reach.known_s(NOON_S, NOON_S + 57 * 60) == 3 * 60
        assert pipeline.red.window(NOON_S - 60, NOON_S + 3600)[0].requests == 3


async def test_hot_spans_become_a_segment_when_they_are_old(tmp_path: Path) -> None:
    clock = HandClock()
    async with running(HTTP_ONLY, _storage(tmp_path), clock, policy=FlushPolicy(age_s=30)) as pipeline:
        await _send(pipeline, [S(1, 1)])
        assert pipeline.counters.spans_stored == 0
        clock.advance(31)
        deadline = time.monotonic() + 10
        while pipeline.counters.spans_stored == 0:
            assert time.monotonic() < deadline
            await _send(pipeline, [])
        assert list((tmp_path / "telemetry" / "wal").iterdir()) == [], "the log lets go of what is in a segment"


async def test_rates_are_unknown_before_they_were_measured(tmp_path: Path) -> None:
    clock = HandClock()
    async with running(HTTP_ONLY, _storage(tmp_path), clock) as pipeline:
        await _send(pipeline, [S(1, number) for number in range(1, 51)])
        assert pipeline.counters.spans_per_s is None
        clock.advance(9.9)
        await _send(pipeline, [S(2, number) for number in range(1, 51)])
        clock.advance(0.1)
        assert pipeline.counters.spans_per_s == 10.0
        clock.advance(5)
        assert pipeline.counters.spans_per_s == 5.0


async def test_a_batch_that_can_not_be_counted_is_stored_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(red: Red, spans: pa.Table) -> None:
        raise OverflowError("a number that nobody thought of")

    for attempt in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Red, "fold", fails)
            async with running(HTTP_ONLY, _storage(tmp_path), HandClock()) as pipeline:
                for trace in (1, 2):
                    await _send(pipeline, [S(10 * attempt + trace, 1, at=-5)])
                assert await pipeline.store.trace(trace_hex(10 * attempt + 2)) is not None
                await _until(lambda: pipeline.counters.refused.get("uncounted_span") == 2)
    assert "a number that nobody thought of" in caplog.text
    async with running(HTTP_ONLY, _storage(tmp_path), HandClock()) as pipeline:
        assert pipeline.red.window(NOON_S - 60, NOON_S) == [], "a checkpoint covers them: they are not counted later"


def _put_in_log(directory: Path, payloads: list[bytes]) -> None:
    store = EmbeddedTelemetryStore(_storage(directory), HandClock())
    assert list(store.replay()) == []
    store.append(payloads)
    store.close()


async def test_an_acknowledged_record_that_no_longer_decodes_is_kept_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _put_in_log(tmp_path, [body([S(1, 1)]), b"\xff\xff", body([S(2, 2)])])
    async with running(HTTP_ONLY, _storage(tmp_path), HandClock()) as pipeline:
        for trace in (1, 2):
            assert await pipeline.store.trace(trace_hex(trace)) is not None
        assert pipeline.counters.refused["replay"] == 1
        (kept,) = (tmp_path / "telemetry" / "unreadable").iterdir()
        assert kept.read_bytes() == b"\xff\xff"
        assert kept.name in pipeline.storage_status().detail
    assert kept.name in caplog.text
    async with running(HTTP_ONLY, _storage(tmp_path), HandClock()) as pipeline:
        assert pipeline.store.problems == [], "it is in the log no more"
    assert kept.exists()


async def test_a_record_that_nobody_foresaw_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = body([S(3, 3, name="poison")])
    _put_in_log(tmp_path, [body([S(1, 1)]), poison, body([S(2, 2)])])

    def fails(payloads: Sequence[bytes]) -> Decoded:
        if poison in payloads:
            raise RuntimeError("not a HomeostatError")
        return decode(payloads)

    monkeypatch.setattr(traces, "decode", fails)
    async with running(HTTP_ONLY, _storage(tmp_path), HandClock()) as pipeline:
        for trace in (1, 2):
            assert await pipeline.store.trace(trace_hex(trace)) is not None
        (kept,) = (tmp_path / "telemetry" / "unreadable").iterdir()
        assert kept.read_bytes() == poison


@pytest.mark.parametrize("which", ["otlp_http_port", "otlp_grpc_port"])
async def test_a_taken_port_names_its_holder_and_leaves_nothing_behind(tmp_path: Path, which: str) -> None:
    with bind("127.0.0.1", 0) as holder:
        port = bound_port(holder)
        receivers = HTTP_ONLY.model_copy(update={which: port})
        with pytest.raises(PortTakenError, match=rf"127.0.0.1:{port} is taken by process \d+ \("):
            async with running(receivers, _storage(tmp_path), HandClock()):
                pytest.fail("it started on a port that is taken")
    async with running(receivers, _storage(tmp_path), HandClock()) as pipeline:
        assert port in (pipeline.http_port, pipeline.grpc_port)


@pytest.mark.parametrize("which", ["otlp_http_port", "otlp_grpc_port"])
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("192.0.2.1", "Cannot assign requested address"),  # of nobody: reserved for documentation
        ("nobody.invalid", "."),
        ("two..dots", "."),
    ],
)
async def test_a_host_that_can_not_be_listened_on_names_the_reason_and_the_setting(
    tmp_path: Path, which: str, host: str, reason: str
) -> None:
    receivers = ReceiverConfig.only(**{"host": host, which: 0})
    with pytest.raises(ListenError, match=rf"{host}:0: .*{reason}.* receivers.host or receivers.{which} "):
        async with running(receivers, _storage(tmp_path), HandClock()):
            pytest.fail("it listens on what is not ours")


def test_a_port_can_be_bound_again_at_once() -> None:
    listener = bind("127.0.0.1", 0)
    port = bound_port(listener)
    with socket.create_connection(("127.0.0.1", port)):
        listener.accept()
    listener.close()
    bind("127.0.0.1", port).close()


# -- kill -9 ------------------------------------------------------------------------------------------------

CHILD = """
import sys, anyio, uvloop
from pathlib import Path
from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.observe.pipeline import running
from homeostat.runtime import SystemClock
from homeostat.store.telemetry.store import FlushPolicy

async def main():
    receivers = ReceiverConfig.only(otlp_http_port=0)
    policy = FlushPolicy(rows=400, age_s=0.3)
    storage = StorageConfig(path=Path(sys.argv[1]), min_free_mib=1)
    async with running(receivers, storage, SystemClock(), policy=policy) as pipeline:
        print(pipeline.http_port, flush=True)
        await anyio.sleep_forever()

uvloop.run(main())
"""


@contextmanager
def _process(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", CHILD, str(directory)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child, int(child.stdout.readline())
    finally:
        child.kill()
        child.wait(10)
        assert child.stdout is not None
        child.stdout.close()


class _Sender(threading.Thread):
    """Sends one trace after the other, each until it is acknowledged, over whatever port is up."""

    def __init__(self, number: int, at_s: float) -> None:
        super().__init__(name=f"sender-{number}")
        self.port = 0
        self.acknowledged: list[int] = []
        self.stopping = threading.Event()
        self._next = number * 1_000_000 + 1
        self._at_s = at_s

    def run(self) -> None:
        while not self.stopping.is_set():
            trace = self._next
            content = body([S(trace, span, at=self._at_s) for span in range(1, 6)])
            while not self._sent(content):
                if self.stopping.wait(0.005):
                    return
            self.acknowledged.append(trace)
            self._next += 1

    def _sent(self, content: bytes) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST", "/v1/traces", content, PROTOBUF)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


async def test_kill_9_under_load_loses_and_doubles_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(11)
    at_s = time.time() - NOON_S
    senders = [_Sender(number, at_s) for number in range(3)]
    for kill in range(5):
        with _process(tmp_path) as (child, port):
            for sender in senders:
                sender.port = port
                if kill == 0:
                    sender.start()
            # By what was acknowledged and not by the clock: on a busy machine little happens in half a second.
            enough = sum(len(sender.acknowledged) for sender in senders) + chance.randint(5, 60)
            with anyio.fail_after(60):
                while sum(len(sender.acknowledged) for sender in senders) < enough:
                    await anyio.sleep(0.001)
            await anyio.sleep(chance.uniform(0, 0.02))
            child.send_signal(signal.SIGKILL)
            child.wait(10)
    for sender in senders:
        sender.stopping.set()
        sender.join(10)
    acknowledged = {trace for sender in senders for trace in sender.acknowledged}
    assert len(acknowledged) > 20, json.dumps([len(sender.acknowledged) for sender in senders])
    clock = HandClock()
    clock.advance(at_s)
    async with running(HTTP_ONLY, _storage(tmp_path), clock) as pipeline:
        for trace in acknowledged:
            found = await pipeline.store.trace(trace_hex(trace))
            assert found is not None, f"trace {trace} was acknowledged and is lost"
            assert [int(span.span_id, 16) for span in found.spans] == [1, 2, 3, 4, 5]
        assert pipeline.store.problems == []
