"""Files into the store, for ``homeostat store import``: Parquet as segments, OTLP as everything comes in."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import BadRequestError, TelemetryRejectedError
from homeostat.observe.lanes import Stores
from homeostat.observe.pipeline import running
from homeostat.observe.receivers.otlp_json import to_protobuf
from homeostat.observe.receivers.otlp_signals import LOGS, METRICS, TRACES, Signal
from homeostat.runtime import SystemClock
from homeostat.store.lock import locked
from homeostat.store.telemetry.lane import Lane
from homeostat.store.telemetry.transfer import signal_of, take_in

_PARQUET_MAGIC: Final = b"PAR1"
_SIGNALS: Final = {signal.name: signal for signal in (TRACES, METRICS, LOGS)}
_KEYS: Final = {"resourceSpans": TRACES, "resourceMetrics": METRICS, "resourceLogs": LOGS}


@dataclass(frozen=True, slots=True)
class Imported:
    """What one file brought."""

    file: str
    signal: str
    rows: int
    rejected: int = 0


def take_in_all(
    files: Sequence[Path], storage: StorageConfig, signal: str | None, progress: Callable[[str], None]
) -> list[Imported]:
    """Store the files, one after the other. Raises BadRequestError for a file that is none, before later ones."""
    answer: list[Imported] = []
    with locked(storage.path):
        for file in files:
            progress(file.name)
            if _is_parquet(file):
                answer.append(_parquet(file, storage, progress))
            else:
                answer.append(anyio.run(_otlp, file, storage, signal))
    return answer


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC


def _parquet(file: Path, storage: StorageConfig, progress: Callable[[str], None]) -> Imported:
    name = signal_of(file)
    stores = Stores.opened(storage, SystemClock())
    lane: Lane[Any] = next(lane for lane in stores.all if lane.spec.name == name)
    try:
        rows = take_in(lane, file, lambda count: progress(f"{file.name}: {count:,} rows"))
    finally:
        stores.close()
    return Imported(str(file), name, rows)


async def _otlp(file: Path, storage: StorageConfig, signal: str | None) -> Imported:
    accepted = rejected = 0
    found: Signal | None = None
    async with running(ReceiverConfig.only(), storage, SystemClock()) as pipeline:
        for place, found, payload in _requests(file, _SIGNALS[signal] if signal is not None else None):
            try:
                receipt = await found.submit_of(pipeline.submitters)(payload)
            except TelemetryRejectedError as error:
                raise BadRequestError(f"{place}: {error} What was before it in the file is stored.") from error
            accepted += receipt.accepted
            rejected += receipt.rejected
    return Imported(str(file), found.name if found is not None else "", accepted, rejected)


def _requests(file: Path, given: Signal | None) -> Iterator[tuple[str, Signal, bytes]]:
    """Each request of a file as protobuf, with its place and its signal."""
    with file.open("rb") as content:
        start = content.read(64).lstrip()
        if not start:
            raise BadRequestError(f"{file} holds nothing. Give it an OTLP request, or what an export wrote.")
        is_json = start[:1] == b"{"
        content.seek(0)
        if not is_json:
            if given is None:
                raise BadRequestError(f"{file} is protobuf, or nothing known: say what it holds with --signal.")
            yield str(file), given, content.read()
            return
        whole = content.read()
    documents = [whole] if _is_one(whole) else [line for line in whole.splitlines() if line.strip()]
    for number, document in enumerate(documents, 1):
        place = f"{file}:{number}"
        yield place, *_of_json(place, document, given)


def _is_one(document: bytes) -> bool:
    try:
        json.loads(document)
    except (ValueError, RecursionError):
        return False
    return True


def _of_json(place: str, document: bytes, given: Signal | None) -> tuple[Signal, bytes]:
    try:
        keys = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"{place} is not JSON: {error}. Write one export request, or one a line.") from error
    signal = next((of_key for key, of_key in _KEYS.items() if key in keys), None)
    if signal is None:
        raise BadRequestError(
            f"{place} has none of {', '.join(_KEYS)}: it is no OTLP/JSON request. Of exports only Parquet is taken."
        )
    if given is not None and given is not signal:
        raise BadRequestError(f"{place} holds {signal.name}, --signal says {given.name}. Leave --signal out.")
    try:
        return signal, to_protobuf(document, signal)
    except TelemetryRejectedError as error:
        raise BadRequestError(f"{place}: {error}") from error
