"""``homeostat store``: what a data directory holds, checked, compacted, exported and imported. No server is asked."""

import json
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from homeostat.cli.client import JsonOption
from homeostat.cli.options import format_by_name
from homeostat.cli.output import EXIT_FAILED, print_json, print_table
from homeostat.cli.up import DEFAULT_CONFIG, ConfigOption
from homeostat.core.errors import BadRequestError

if TYPE_CHECKING:
    import pyarrow as pa

    from homeostat.core.config import StorageConfig
    from homeostat.store.telemetry.lane import LaneSpec

app = typer.Typer(help="Check, compact, export and import what is stored.", no_args_is_help=True)

_MERGED_ROWS_MAX: Final = 400_000  # of a segment that is made by hand: some hundred MB while it is being sorted


class Signal(StrEnum):
    """The lanes of the store."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class Format(StrEnum):
    """What an export writes."""

    PARQUET = "parquet"
    NDJSON = "ndjson"
    CSV = "csv"


PathOption = Annotated[
    Path | None, typer.Option("--path", help="The data directory; default: storage.path of the configuration.")
]
SignalOption = Annotated[Signal | None, typer.Option("--signal", help="Only this one; default: all.")]


def storage_of(config: Path | None, path: Path | None, *, must_exist: bool = True) -> "StorageConfig":
    """Where telemetry is kept, as said on the command line or in the configuration. Raises ConfigError."""
    from homeostat.config import load_config
    from homeostat.core.config import Config

    file = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    storage = (load_config(file) if file else Config()).storage
    storage = storage if path is None else storage.model_copy(update={"path": path})
    if must_exist and not (storage.path / "telemetry").is_dir():
        raise BadRequestError(f"There is no telemetry in {storage.path}. Give a data directory with --path.")
    return storage


def _specs(signal: Signal | None = None) -> "list[LaneSpec[Any]]":
    from homeostat.store.telemetry.log_store import LOGS
    from homeostat.store.telemetry.metric_store import METRICS
    from homeostat.store.telemetry.store import TRACES

    specs: list[LaneSpec[Any]] = [TRACES, METRICS, LOGS]
    return [spec for spec in specs if signal is None or spec.name == signal]


@contextmanager
def _progress(title: str) -> Generator[Callable[[str], None]]:
    """Says on standard error what is being done, if somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bar: Progress = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
    )
    with bar:
        task = bar.add_task(title)
        yield lambda text: bar.update(task, description=f"{title} {text}")


@app.command("check")
def check(
    config: ConfigOption = None, path: PathOption = None, signal: SignalOption = None, as_json: JsonOption = False
) -> None:
    """Read every segment, index, log and catalogue, and say what is wrong. Homeostat may run. Exit code 1: damage."""
    from homeostat.store.telemetry.check import check_lane

    storage = storage_of(config, path)
    with _progress("Reading") as progress:
        reports = [check_lane(spec, storage.path, progress) for spec in _specs(signal)]
    findings = [finding for report in reports for finding in report.findings]
    if as_json:
        print_json([report.model_dump() for report in reports])
    else:
        print_table(
            ("LANE", "SEGMENTS", "ROWS", "MIB", "REQUESTS IN LOG", "FINDINGS"),
            [
                (
                    report.lane,
                    f"{report.segments:,}",
                    f"{report.rows:,}",
                    f"{report.bytes / (1 << 20):,.1f}",
                    f"{report.requests_in_log:,}",
                    str(len(report.findings)),
                )
                for report in reports
            ],
        )
        for finding in findings:
            print(f"{finding.file} {finding.problem}. {finding.remedy}")
    if any(finding.is_damage for finding in findings):
        raise typer.Exit(EXIT_FAILED)


@app.command("compact")
def compact(
    config: ConfigOption = None, path: PathOption = None, signal: SignalOption = None, as_json: JsonOption = False
) -> None:
    """Merge small segments into few large ones. Homeostat must not run."""
    from homeostat.runtime import SystemClock
    from homeostat.store.lock import locked
    from homeostat.store.telemetry.lane import Lane
    from homeostat.store.telemetry.maintenance import CompactionPolicy

    storage = storage_of(config, path)
    policy = CompactionPolicy(small_rows=_MERGED_ROWS_MAX, merge_min=2, merged_rows_max=_MERGED_ROWS_MAX)
    answer: list[dict[str, str | int]] = []
    with locked(storage.path), _progress("Merging") as progress:
        for spec in _specs(signal):
            progress(spec.name)
            lane = Lane(spec, storage, SystemClock())
            bytes_before, before = sum(info.bytes for info in lane.segments), len(lane.segments)
            lane.compact(policy)
            bytes_after = sum(info.bytes for info in lane.segments)
            answer.append(
                {
                    "lane": spec.name,
                    "segments_before": before,
                    "segments": len(lane.segments),
                    "bytes_before": bytes_before,
                    "bytes": bytes_after,
                }
            )
            lane.close()
    if as_json:
        print_json(answer)
        return
    rows = [(str(row["lane"]), f"{row['segments_before']} -> {row['segments']}", _mib(row)) for row in answer]
    print_table(("LANE", "SEGMENTS", "MIB"), rows)


def _mib(row: dict[str, str | int]) -> str:
    return f"{int(row['bytes_before']) / (1 << 20):,.1f} -> {int(row['bytes']) / (1 << 20):,.1f}"


@app.command("export")
def export(
    signal: Annotated[Signal, typer.Argument(help="What to export.")],
    out: Annotated[Path, typer.Argument(help="The file to write; - is standard output (not for Parquet).")],
    *,
    since: Annotated[datetime | None, typer.Option("--from", help="UTC; default: a day before --to.")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="UTC; default: now.")] = None,
    as_format: Annotated[
        Format | None, typer.Option("--format", help="Default: by the file's name, else ndjson.")
    ] = None,
    config: ConfigOption = None,
    path: PathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what is in segments of a time. The newest minute of a running Homeostat may still be in its log."""
    from homeostat.runtime import SystemClock
    from homeostat.store.telemetry.rows import to_ns
    from homeostat.store.telemetry.transfer import stored

    (spec,) = _specs(signal)
    end = _utc(until) if until is not None else SystemClock().now()
    start = _utc(since) if since is not None else end - timedelta(days=1)
    chosen = as_format or _by_name(out)
    if chosen is Format.CSV and signal is not Signal.LOGS:
        raise BadRequestError(f"{signal} are no table: CSV is for logs. Use --format ndjson or parquet.")
    storage = storage_of(config, path)
    with _progress(f"Exporting {signal}") as progress:
        tables = _told(stored(spec, storage.path, to_ns(start), to_ns(end)), progress)
        rows = _write(tables, spec, chosen, out)
    summary = {"signal": signal.value, "rows": rows, "file": str(out), "format": chosen.value}
    if as_json:
        print(json.dumps(summary), file=sys.stderr if str(out) == "-" else sys.stdout)
    else:
        print(f"{rows:,} rows of {signal} written to {out} ({chosen}).", file=sys.stderr)


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _by_name(out: Path) -> Format:
    found = Format(format_by_name(out))
    if found is Format.NDJSON and out.suffix:
        raise BadRequestError(
            f"{out} could not be imported again: only Parquet goes both ways. Name the file .parquet, or give "
            "--format ndjson if others are to read it."
        )
    return found


def _told(tables: "Iterator[pa.Table]", progress: Callable[[str], None]) -> "Iterator[pa.Table]":
    rows = 0
    for table in tables:
        yield table
        rows += table.num_rows
        progress(f"{rows:,} rows")


def _write(tables: "Iterator[pa.Table]", spec: "LaneSpec[Any]", chosen: Format, out: Path) -> int:
    from homeostat.store.telemetry.transfer import write_csv, write_ndjson, write_parquet

    if chosen is Format.PARQUET:
        if str(out) == "-":
            raise BadRequestError("Parquet can't be written to standard output. Name a file.")
        return write_parquet(tables, spec.layout.schema, out)
    write = write_csv if chosen is Format.CSV else write_ndjson
    if str(out) == "-":
        return write(tables, sys.stdout)
    with out.open("w", encoding="utf-8", newline="") as file:
        return write(tables, file)


@app.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Parquet of an export, or OTLP (protobuf, JSON, NDJSON).")],
    *,
    signal: SignalOption = None,
    config: ConfigOption = None,
    path: Annotated[Path | None, typer.Option("--path", help="The data directory; made where it is missing.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Store the telemetry of files. Homeostat must not run. OTLP counts into rates, Parquet does not.

    An OTLP file holds one export request, protobuf or JSON, or one JSON request a line; --signal says which signal a
    protobuf file has.
    """
    from homeostat.cli.store_import import take_in_all

    storage = storage_of(config, path, must_exist=False)
    with _progress("Importing") as progress:
        answer = take_in_all(files, storage, signal.value if signal is not None else None, progress)
    if as_json:
        print_json([asdict(row) for row in answer])
        return
    print_table(
        ("FILE", "SIGNAL", "ROWS", "REJECTED"),
        [(row.file, row.signal, f"{row.rows:,}", f"{row.rejected:,}") for row in answer],
    )
