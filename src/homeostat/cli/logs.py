"""``homeostat logs``: search, follow, patterns, and files to take away."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich.markup import escape

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.options import format_by_name
from homeostat.cli.options import severity as severity_of
from homeostat.cli.output import percent, print_json, print_table
from homeostat.cli.spark import sparkline
from homeostat.cli.text import log_line, one_line
from homeostat.cli.traces_compared import AttributeOption, MinutesOption, ServiceOption

app = typer.Typer(help="Search log records, follow them, and see what is said again and again.", no_args_is_help=True)

Row = dict[str, object]
Query = Mapping[str, str | float | Sequence[str] | None]

_OVERLAP_S: Final = 5
"""Following looks back this far at every look: records of several senders do not come in order."""

_LOOK_S: Final = 1.0
_PAGE: Final = 1000
_PATTERN_WIDTH: Final = 20
_PATIENCE_S: Final = 120.0

TextArgument = Annotated[str | None, typer.Argument(help='Words that all occur; "in quotes": a phrase.')]
SeverityOption = Annotated[
    str | None, typer.Option("--severity", help="At least: debug, info, warn, error, fatal.", callback=severity_of)
]
TraceOption = Annotated[str | None, typer.Option("--trace", help="Only records of this trace.")]
SpanOption = Annotated[str | None, typer.Option("--span", help="Only records of this span.")]
FromOption = Annotated[str | None, typer.Option("--from", help="e.g. 2026-01-31T12:00:00Z; instead of --minutes.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Default: now.")]
SomeMinutesOption = Annotated[int | None, typer.Option(min=1, help="How far back; 15, or with --trace everything.")]


@app.command("search")
def search(
    text: TextArgument = None,
    *,
    service: ServiceOption = None,
    severity: SeverityOption = None,
    attribute: AttributeOption = None,
    trace: TraceOption = None,
    span: SpanOption = None,
    minutes: SomeMinutesOption = None,
    since: FromOption = None,
    until: ToOption = None,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="Of the page before: gives the next, older one.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Records that match, the newest last."""
    asked = _conditions(text, service, severity, attribute, trace, span) | {
        "minutes": minutes,
        "start": since,
        "end": until,
    }
    answer = cast("Row", ApiClient(url).get("/api/logs", **asked, limit=limit, cursor=cursor))
    if as_json:
        print_json(answer)
        return
    records = cast("list[Row]", answer["records"])
    for record in reversed(records):
        print(log_line(record))
    if not records:
        print("No record matches. Widen the time with --minutes, or drop a condition.")
    if answer["next_cursor"] is not None:
        print(f"There are older ones: --cursor {answer['next_cursor']}")


@app.command("tail")
def tail(
    text: TextArgument = None,
    *,
    service: ServiceOption = None,
    severity: SeverityOption = None,
    attribute: AttributeOption = None,
    trace: TraceOption = None,
    lines: Annotated[int, typer.Option(min=0, max=_PAGE, help="Records of the last minutes to begin with.")] = 10,
    stop_after: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Follow the records that come in, until interrupted. One that comes more than 5 s late is not seen."""
    asked = _conditions(text, service, severity, attribute, trace, None)
    try:
        for count, record in enumerate(_followed(ApiClient(url), asked, lines), 1):
            print(json.dumps(record) if as_json else log_line(record), flush=True)
            if count == stop_after:
                return
    except KeyboardInterrupt:
        return


def _followed(client: ApiClient, asked: Query, lines: int) -> Iterator[Row]:
    """Records as they come, each once: the last ``lines`` first."""
    first = cast("Row", client.get("/api/logs", **asked, minutes=15, limit=_PAGE))
    records = cast("list[Row]", first["records"])[::-1]
    yield from records[len(records) - min(lines, len(records)) :]
    seen = {str(record["id"]): cast("int", record["time_unix_nano"]) for record in records}
    while True:
        newest = max(seen.values(), default=0)
        since = newest - _OVERLAP_S * 10**9
        seen = {record_id: at for record_id, at in seen.items() if at >= since}
        for record in _since(client, asked, since if newest else None):
            if str(record["id"]) not in seen:
                seen[str(record["id"])] = cast("int", record["time_unix_nano"])
                yield record
        time.sleep(_LOOK_S)


def _since(client: ApiClient, asked: Query, since_ns: int | None) -> list[Row]:
    """Every record from a time on, oldest first."""
    start = None if since_ns is None else _rfc3339(since_ns)
    found: list[Row] = []
    cursor: str | None = None
    while True:
        page = cast("Row", client.get("/api/logs", **asked, start=start, minutes=1, limit=_PAGE, cursor=cursor))
        found += cast("list[Row]", page["records"])
        cursor = cast("str | None", page["next_cursor"])
        if cursor is None:
            return found[::-1]


def _rfc3339(time_ns: int) -> str:
    """The second before, as the API reads it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_ns // 10**9))


@app.command("patterns")
def patterns(
    text: TextArgument = None,
    *,
    service: ServiceOption = None,
    severity: SeverityOption = None,
    attribute: AttributeOption = None,
    minutes: MinutesOption = 15,
    limit: Annotated[int, typer.Option(min=1, max=_PAGE)] = 30,
    new: Annotated[bool, typer.Option("--new", help="Only those that did not occur in the time before.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """What is said again and again, the most frequent first, and how that compares with the time before."""
    asked = _conditions(text, service, severity, attribute, None, None) | {"minutes": minutes}
    client = ApiClient(url, timeout_s=_PATIENCE_S)
    answer = cast("Row", client.get("/api/logs/patterns", **asked, limit=_PAGE if new else limit))
    rows = [row for row in cast("list[Row]", answer["patterns"]) if row["is_new"] or not new][:limit]
    if as_json:
        print_json(answer | {"patterns": rows})
        return
    if not rows:
        print(f"No {'new ' if new else ''}patterns in the last {minutes} minutes.")
    else:
        print_table(
            ("COUNT", "SHARE", "BEFORE", "TREND", "SEVERITY", "SERVICE", "PATTERN"), [_cells(row) for row in rows]
        )
    for note in cast("list[str]", answer["notes"]):
        print(note)


def _cells(row: Row) -> tuple[str, ...]:
    timeline = sparkline(cast("list[float]", row["timeline"]), width=_PATTERN_WIDTH, from_zero=True)
    return (
        f"{row['count']:,}",
        percent(cast("float", row["share"])),
        _before(row),
        timeline,
        str(row["severity"]),
        escape(one_line(str(row["service"]))),
        escape(one_line(str(row["template"]))),
    )


def _before(row: Row) -> str:
    if row["is_new"] is None:
        return "not known"
    return "new" if row["is_new"] else f"{row['previous_count']:,}"


@app.command("export")
def export(
    out: Annotated[Path, typer.Argument(help="The file to write; - is standard output.")],
    *,
    text: Annotated[str | None, typer.Option("--text", help="Words that all occur.")] = None,
    service: ServiceOption = None,
    severity: SeverityOption = None,
    attribute: AttributeOption = None,
    trace: TraceOption = None,
    minutes: SomeMinutesOption = None,
    since: FromOption = None,
    until: ToOption = None,
    as_format: Annotated[
        str | None, typer.Option("--format", help="ndjson, csv or parquet; default: by the file's name, else ndjson.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Write every matching record of a running Homeostat to a file, the newest first."""
    chosen = as_format or format_by_name(out)
    asked = _conditions(text, service, severity, attribute, trace, None) | {
        "minutes": minutes,
        "start": since,
        "end": until,
        "format": chosen,
    }
    with ApiClient(url, timeout_s=_PATIENCE_S).download("/api/logs/export", **asked) as pieces:
        if str(out) == "-":
            size = sum(sys.stdout.buffer.write(piece) for piece in pieces)
            sys.stdout.buffer.flush()
        else:
            size = _write_whole(out, pieces)
    print(f"{size:,} bytes written to {out} ({chosen}).", file=sys.stderr)


def _write_whole(out: Path, pieces: Iterator[bytes]) -> int:
    """A download that breaks off leaves no file that looks whole."""
    unfinished = out.with_name(out.name + ".part")
    try:
        with unfinished.open("wb") as file:
            size = sum(file.write(piece) for piece in pieces)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def _conditions(
    text: str | None,
    service: str | None,
    severity: str | None,
    attribute: list[str] | None,
    trace: str | None,
    span: str | None,
) -> dict[str, str | float | Sequence[str] | None]:
    return {
        "text": text,
        "service": service,
        "min_severity": severity,
        "attribute": attribute,
        "trace_id": trace,
        "span_id": span,
    }
