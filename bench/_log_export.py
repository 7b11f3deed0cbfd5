"""Log records out of the store, as files and as patterns: records per CPU-second. For ``bench.query``."""

import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from homeostat.api.log_export import FORMATS, written
from homeostat.core.config import StorageConfig
from homeostat.core.logs import LogQuery
from homeostat.observe.decode.logs import decode_logs
from homeostat.observe.patterns import PatternFinder
from homeostat.runtime import SystemClock
from homeostat.store.telemetry.log_store import EmbeddedLogStore

RECORDS: Final = 100_000
_BATCH: Final = 10_000
_STEP_NS: Final = 2_000_000


def _request(first: int, start_ns: int, chance: random.Random) -> bytes:
    request = ExportLogsServiceRequest()
    of_resource = request.resource_logs.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = f"service-{first % 7}"
    scope = of_resource.scope_logs.add()
    for number in range(first, first + _BATCH):
        record = scope.log_records.add(
            time_unix_nano=start_ns + number * _STEP_NS,
            severity_number=9,
            trace_id=chance.randbytes(16),
            span_id=chance.randbytes(8),
        )
        record.body.string_value = f'GET /api/orders/{number} answered "200" in {chance.randrange(900)} ms'
        for key in ("http.route", "user.id", "thread.name", "code.function.name"):
            record.attributes.add(key=key).value.string_value = f"value {chance.randrange(1000)}"
    return request.SerializeToString()


async def log_export() -> dict[str, float]:
    """A hundred thousand records with four attributes: in each format, and what they have in common."""
    chance, start = random.Random(1), datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    start_ns = int(start.timestamp()) * 10**9
    with tempfile.TemporaryDirectory() as directory:
        store = EmbeddedLogStore(StorageConfig(path=Path(directory)), SystemClock())
        list(store.replay())
        for first in range(0, RECORDS, _BATCH):
            body = _request(first, start_ns, chance)
            store.add(decode_logs([body]).table, store.append([body]))
            store.seal()
            store.flush()
        query = LogQuery(start=start, end=start + timedelta(hours=1))
        numbers: dict[str, float] = {}
        for name, form in FORMATS.items():
            began, size = time.process_time(), 0
            async for piece in written(store.export(query), form):
                size += len(piece)
            numbers[f"log_export_{name}_records_per_cpu_s"] = RECORDS / (time.process_time() - began)
            numbers[f"log_export_{name}_bytes_per_record"] = size / RECORDS
        for sample in (RECORDS, 20_000):  # everything is read, and a fifth of it
            began = time.process_time()
            found = await PatternFinder().find(store, query, sample=sample, limit=100)
            used_s = time.process_time() - began
            numbers[f"log_patterns_{sample}_records_per_cpu_s"] = found.records_read / used_s
            numbers[f"log_patterns_{sample}_cpu_ms"] = used_s * 1000
        store.close()
        return numbers
