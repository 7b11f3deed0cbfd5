"""``homeostat store``: damage is found and named, exports come back as they were, nothing runs beside a server."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from typer.testing import CliRunner

from homeostat.cli.main import app
from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.core.errors import BadRequestError, StoreError
from homeostat.observe.pipeline import running
from homeostat.store.lock import locked
from homeostat.store.telemetry.catalogue import CATALOGUE_FILE
from support.spans import HandClock, S, body
from support.telemetry import L, gauge, logs_body, metrics_body

TIMES = ["--from", "2026-03-01T00:00:00", "--to", "2026-03-02T00:00:00"]


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A data directory with two segments of each signal."""
    folder = tmp_path / "data"
    for number in range(2):
        async with running(
            ReceiverConfig.only(), StorageConfig(path=folder, min_free_mib=1), HandClock()
        ) as pipeline:
            spans = [S(trace, span, at=-trace) for trace in (2 * number + 1, 2 * number + 2) for span in (1, 2)]
            await pipeline.submitters.traces(body(spans))
            await pipeline.submitters.metrics(
                metrics_body([gauge("memory", [(-number - 1, 1.5), (-number - 5, 2.0)])])
            )
            records = [L(f"record {number} {part}", at=-part - 1, attributes={"k": "v"}) for part in range(3)]
            await pipeline.submitters.logs(logs_body(records))
    return folder


def _run(*arguments: object, fails: int = 0) -> str:
    result = CliRunner().invoke(app, ["store", *map(str, arguments)])
    if result.exit_code != fails:
        raise result.exception or AssertionError(result.output)
    return result.output


def _found(folder: Path) -> Iterator[dict[str, object]]:
    result = CliRunner().invoke(app, ["store", "check", "--path", str(folder), "--json"])
    for report in json.loads(result.stdout):
        yield from report["findings"]
    assert result.exit_code == 1


def _files(folder: Path, lane: str, suffix: str) -> list[Path]:
    root = folder / "telemetry" / ("" if lane == "traces" else lane)
    return sorted((root / "segments").glob(f"*{suffix}"))


def test_a_whole_directory_has_no_findings(data: Path) -> None:
    reports = json.loads(_run("check", "--path", data, "--json"))
    assert [(r["lane"], r["segments"], r["rows"], r["findings"]) for r in reports] == [
        ("traces", 2, 8, []),
        ("metrics", 2, 4, []),
        ("logs", 2, 6, []),
    ]
    assert "memory" not in _run("check", "--path", data)


@pytest.mark.parametrize("lane", ["traces", "metrics", "logs"])
def test_one_changed_byte_anywhere_in_a_segment_is_found(data: Path, lane: str) -> None:
    (first, _) = _files(data, lane, ".parquet")
    whole = bytearray(first.read_bytes())
    whole[len(whole) // 5] ^= 0x10
    first.write_bytes(whole)
    (finding,) = _found(data)
    assert (finding["lane"], finding["file"], finding["is_damage"]) == (lane, str(first), True)
    assert finding["remedy"]


def test_what_is_gone_cut_or_of_another_is_found(data: Path) -> None:
    gone, cut = _files(data, "traces", ".parquet")
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:100])
    index, _ = _files(data, "logs", ".idx")
    index.write_bytes(index.read_bytes()[:-1] + b"?")
    lost, _ = _files(data, "metrics", ".idx")
    lost.unlink()
    log = data / "telemetry" / "wal" / f"{50:020d}.wal"
    log.write_bytes(b"no record at all")
    (log.parent / f"{60:020d}.wal").write_bytes(b"a torn end")
    assert {Path(str(finding["file"])).name for finding in _found(data)} == {
        gone.name,
        cut.name,
        index.name,
        lost.name,
        log.name,
    }


def test_a_catalogue_that_is_lost_is_found_and_the_remedy_helps(data: Path) -> None:
    (data / "telemetry" / "logs" / "segments" / CATALOGUE_FILE).write_text("{")
    (finding,) = _found(data)
    assert str(finding["file"]).endswith(CATALOGUE_FILE)

    async def start() -> None:
        async with running(ReceiverConfig.only(), StorageConfig(path=data, min_free_mib=1), HandClock()):
            pass

    anyio.run(start)
    assert json.loads(_run("check", "--path", data, "--json"))[2]["rows"] == 6


@pytest.mark.parametrize("lane", ["traces", "metrics", "logs"])
def test_an_export_comes_back_as_it_was(data: Path, tmp_path: Path, lane: str) -> None:
    exported, again = tmp_path / f"{lane}.parquet", tmp_path / "again"
    _run("export", lane, exported, "--path", data, *TIMES)
    answer = json.loads(_run("import", exported, "--path", again, "--json"))
    assert answer[0]["rows"] == pq.read_metadata(exported).num_rows > 0
    texts: list[list[str]] = []
    for folder in (data, again):
        _run("export", lane, tmp_path / "out.ndjson", "--format", "ndjson", "--path", folder, *TIMES)
        texts.append(sorted((tmp_path / "out.ndjson").read_text().splitlines()))
    assert texts[0] == texts[1]
    assert all(json.loads(line)["service"] == "shop" for line in texts[0])
    assert json.loads(_run("check", "--path", again, "--json"))[0]["findings"] == []


def test_parquet_of_another_tool_needs_only_what_is_essential(tmp_path: Path) -> None:
    columns = {"name": ["m", "m"], "type": [0, 0], "time_ns": [10**18, 10**18 + 1], "service": ["shop", "shop"]}
    table = pa.table(columns | {"value": [1.0, 2.0], "unit": [None, "s"], "theirs": ["x", "y"]})
    pq.write_table(table, tmp_path / "theirs.parquet")
    answer = json.loads(_run("import", tmp_path / "theirs.parquet", "--path", tmp_path / "data", "--json"))
    assert (answer[0]["signal"], answer[0]["rows"]) == ("metrics", 2)
    assert json.loads(_run("check", "--path", tmp_path / "data", "--json"))[1]["findings"] == []
    logs = {"time_ns": [10**18], "body": ["hello"], "service": ["shop"], "attributes": [None]}
    spans = {"trace_id": [bytes(15) + b"1"], "span_id": [b"12345678"], "start_ns": [10**18], "duration_ns": [5]}
    for signal, content in (("logs", logs), ("traces", spans | {"service": ["shop"], "name": ["GET /"]})):
        of_ids = {"trace_id": pa.binary(16), "span_id": pa.binary(8), "attributes": pa.map_(pa.string(), pa.string())}
        arrays = [pa.array(values, of_ids.get(name)) for name, values in content.items()]
        pq.write_table(pa.table(arrays, names=list(content)), tmp_path / "other.parquet")
        (row,) = json.loads(_run("import", tmp_path / "other.parquet", "--path", tmp_path / "data", "--json"))
        assert (row["signal"], row["rows"]) == (signal, 1)
        _run(
            "export",
            signal,
            tmp_path / "out",
            "--path",
            tmp_path / "data",
            "--from",
            "2001-09-08",
            "--to",
            "2001-09-10",
        )
        exported = json.loads((tmp_path / "out").read_text())
        assert (exported["service"], exported["resource"], exported["attributes"]) == ("shop", {}, {})
    pq.write_table(table.set_column(2, "time_ns", [[None, 1]]), tmp_path / "holes.parquet")
    with pytest.raises(BadRequestError, match="without time_ns"):
        _run("import", tmp_path / "holes.parquet", "--path", tmp_path / "data")


def test_a_name_that_promises_what_cannot_be_imported_again_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="only Parquet goes both ways"):
        _run("export", "logs", tmp_path / "logs.ndjson", "--path", data, *TIMES)
    said = _run("export", "logs", tmp_path / "logs.xyz", "--path", data, *TIMES, fails=2)
    assert ".ndjson, .csv and .parquet" in said
    assert list(tmp_path.glob("logs.*")) == []


def test_logs_can_be_a_table_and_only_of_the_time_that_is_asked(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "logs.csv"
    _run("export", "logs", out, "--path", data, *TIMES)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[0]["severity"] == "info"
    assert json.loads(rows[0]["attributes"]) == {"k": "v"}
    _run("export", "logs", out, "--path", data, "--from", "2026-03-01T11:59:58", "--to", "2026-03-01T12:00:00")
    assert len(out.read_text().splitlines()) == 1 + 4
    with pytest.raises(BadRequestError, match="CSV is for logs"):
        _run("export", "traces", out, "--path", data, "--format", "csv", fails=0)


def test_otlp_files_are_taken_in_as_if_they_were_sent(tmp_path: Path) -> None:
    content = logs_body([L("one"), L("two")])
    lines = MessageToJson(ExportLogsServiceRequest.FromString(content), indent=None)
    (tmp_path / "logs.ndjson").write_text(f"{lines}\n{lines}\n")
    (tmp_path / "logs.json").write_text(MessageToJson(ExportLogsServiceRequest.FromString(content)))
    (tmp_path / "logs.pb").write_bytes(content)
    files = [tmp_path / name for name in ("logs.ndjson", "logs.json")]
    answer = json.loads(_run("import", *files, "--path", tmp_path / "data", "--json"))
    assert [(row["signal"], row["rows"]) for row in answer] == [("logs", 4), ("logs", 2)]
    with pytest.raises(BadRequestError, match="--signal"):
        _run("import", tmp_path / "logs.pb", "--path", tmp_path / "data")
    answer = json.loads(_run("import", tmp_path / "logs.pb", "--signal=logs", "--path", tmp_path / "data", "--json"))
    assert answer[0]["rows"] == 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"x": 1}', b"PAR1 and then nothing", b"\xff\xff\xff", b'{"resourceLogs": 5}', b"[]"]
)
def test_files_that_are_none_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadRequestError, match="file"):
        _run("import", tmp_path / "file", "--signal", "logs", "--path", tmp_path / "data")


def test_small_segments_are_merged_by_hand(data: Path) -> None:
    answer = json.loads(_run("compact", "--path", data, "--json"))
    assert [(row["lane"], row["segments_before"], row["segments"]) for row in answer] == [
        ("traces", 2, 1),
        ("metrics", 2, 1),
        ("logs", 2, 1),
    ]
    reports = json.loads(_run("check", "--path", data, "--json"))
    assert [(report["rows"], report["findings"]) for report in reports] == [(8, []), (4, []), (6, [])]


def test_what_changes_files_refuses_while_a_homeostat_runs(data: Path, tmp_path: Path) -> None:
    with locked(data):
        with pytest.raises(StoreError, match="Another Homeostat"):
            _run("compact", "--path", data)
        with pytest.raises(StoreError, match="Another Homeostat"):
            _run("import", tmp_path / "file", "--path", data)
        _run("check", "--path", data)


def test_a_directory_without_telemetry_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="no telemetry"):
        _run("check", "--path", tmp_path)
