"""The three lanes together: what a kill leaves of metrics and logs, one status over all, one bound over all."""

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import anyio
import pytest

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import StoreFullError
from homeostat.core.logs import LogQuery
from homeostat.core.metrics import MetricQuery
from homeostat.observe.pipeline import running
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.lane import FlushPolicy
from support.spans import NOON, HandClock, S, body
from support.telemetry import DELTA, L, counter, exported, gauge, logs_body, metrics_body

OFF = ReceiverConfig.only()
DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}

CHILD = """
import sys, anyio
from datetime import UTC, datetime
from pathlib import Path
from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.observe.pipeline import running
from homeostat.store.telemetry.lane import FlushPolicy
from homeostat.runtime import SystemClock

class Noon(SystemClock):
    def now(self):
        return datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

async def main():
    storage = StorageConfig(path=Path(sys.argv[1]), min_free_mib=1)
    receivers = ReceiverConfig.only(otlp_http_port=0)
    async with running(receivers, storage, Noon(), policy=FlushPolicy(rows=100, age_s=0.2)) as pipeline:
        print(pipeline.http_port, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@contextmanager
def _process(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(directory)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child, int(child.stdout.readline())
    finally:
        child.kill()
        child.wait(10)
        assert child.stdout is not None
        child.stdout.close()


class _Sender(threading.Thread):
    """Sends one log record and one metric point after the other, each until it is acknowledged."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"sender-{number}")
        self.port = 0
        self.records: list[str] = []
        self.points = 0
        self.stopping = threading.Event()
        self._number = number

    def run(self) -> None:
        count = 0
        while not self.stopping.is_set():
            count += 1
            text = f"record {self._number} {count}"
            if self._sent("/v1/logs", logs_body([L(text, at=count / 1000)])):
                self.records.append(text)
            point = counter("work", [(count / 100, 1, count / 100 - 0.01)], {"n": f"{self._number}"}, DELTA)
            if self._sent("/v1/metrics", metrics_body([point])):
                self.points += 1

    def _sent(self, path: str, content: bytes) -> bool:
        while not self.stopping.wait(0.005):
            connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("POST", path, content, {"content-type": "application/x-protobuf"})
                if connection.getresponse().status == 200:
                    return True
            except (OSError, HTTPException):
                pass
            finally:
                connection.close()
        return False


async def test_kill_9_under_load_loses_no_metric_point_and_no_log_record(tmp_path: Path) -> None:
    chance, senders = random.Random(5), [_Sender(number) for number in range(2)]
    for kill in range(4):
        with _process(tmp_path) as (child, port):
            for sender in senders:
                sender.port = port
                if kill == 0:
                    sender.start()
            await anyio.sleep(chance.uniform(0.1, 0.7))
            child.send_signal(signal.SIGKILL)
            child.wait(10)
    for sender in senders:
        sender.stopping.set()
        sender.join(10)
    assert all(sender.records and sender.points for sender in senders)
    async with running(OFF, StorageConfig(path=tmp_path, min_free_mib=1), HandClock()) as pipeline:
        found = {record.body for record in await exported(pipeline.logs, LogQuery(**DAY))}
        assert {text for sender in senders for text in sender.records} <= found
        query = MetricQuery(name="work", **DAY, step_s=43200, aggregation="increase", group_by=("n",))
        series = {
            line.labels["n"]: sum(value or 0 for value in line.values)
            for line in await pipeline.metrics.series(query)
        }
        for number, sender in enumerate(senders):  # one more may have been on its way: not acknowledged, and stored
            assert sender.points <= series[f"{number}"] + 1e-6 <= sender.points + 1.1
        assert pipeline.metrics.problems == pipeline.logs.problems == []


async def test_the_status_is_that_of_all_lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(OFF, StorageConfig(path=tmp_path, min_free_mib=1), HandClock()) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr(disk, "free_bytes", lambda _: 0)
            for submit, content in (
                (pipeline.submitters.traces, body([S()])),
                (pipeline.submitters.metrics, metrics_body([gauge("m", [(1, 1)])])),
                (pipeline.submitters.logs, logs_body([L()])),
            ):
                with pytest.raises(StoreFullError):
                    await submit(content)
            assert pipeline.storage_status().state == "full"
        before = pipeline.storage_status()
        assert (before.state, before.used_bytes is not None) == ("ok", True)
        await pipeline.submitters.logs(logs_body([L(random.Random(1).randbytes(10_000).hex())]))
        after = pipeline.storage_status()
        assert after.used_bytes is not None
        assert before.used_bytes is not None
        assert after.used_bytes - before.used_bytes >= 10_000
        counters = pipeline.counters
        assert (counters.log_records_received, counters.metric_points_received) == (1, 0)


async def test_one_bound_in_bytes_holds_for_all_lanes_and_the_oldest_goes(tmp_path: Path) -> None:
    noise = random.Random(1)

    def text() -> str:
        return noise.randbytes(10_000).hex()

    storage = StorageConfig(path=tmp_path, min_free_mib=1, max_gib=50_000 / (1 << 30))
    async with running(OFF, storage, HandClock(), policy=FlushPolicy(rows=1)) as pipeline:
        await pipeline.submitters.traces(body([S(at=-1000, attributes={"text": text()})]))
        for number in range(6):
            await pipeline.submitters.logs(logs_body([L(text(), at=number - 500)]))
        with anyio.fail_after(20):
            while pipeline.logs.sealed_count or pipeline.store.segments:
                await anyio.sleep(0.01)
    async with running(OFF, storage, HandClock()) as pipeline:
        sizes = [info.bytes for lane in pipeline.lanes for info in lane.segments]
        assert sum(sizes) <= 50_000
        assert pipeline.store.segments == (), "the trace was the oldest"
        page = await pipeline.logs.logs(LogQuery(**DAY))
        assert 0 < len(page.records) < 6
        assert page.records[0].time == NOON - timedelta(seconds=495), "the newest are there"


def test_an_empty_homeostat_makes_its_directories_and_nothing_else(tmp_path: Path) -> None:
    async def start() -> None:
        async with running(OFF, StorageConfig(path=tmp_path, min_free_mib=1), HandClock()):
            pass

    anyio.run(start)
    lanes = [tmp_path / "telemetry" / lane for lane in ("", "metrics", "logs")]
    assert all(list((lane / "wal").iterdir()) == [] for lane in lanes)
    assert all((lane / "segments" / "catalogue.json").exists() for lane in lanes)
