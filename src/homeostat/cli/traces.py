"""``homeostat traces``: search, and a waterfall in the terminal."""

from typing import Annotated, cast

import typer

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import clock_time, number, print_json, print_table

app = typer.Typer(help="Search traces and read one.", no_args_is_help=True)
Row = dict[str, object]
BAR_WIDTH = 40


@app.command("search")
def search(
    service: Annotated[str | None, typer.Option(help="Its service.name, in full.")] = None,
    operation: Annotated[str | None, typer.Option(help="A span's name, in full.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only traces with an error.")] = False,
    min_ms: Annotated[float | None, typer.Option(help="At least this long, in milliseconds.")] = None,
    minutes: Annotated[int, typer.Option(min=1, help="How far back.")] = 15,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Traces that match, newest first."""
    answer = cast(
        "Row",
        ApiClient(url).get(
            "/api/traces",
            service=service,
            operation=operation,
            errors_only=errors,
            min_duration_ms=min_ms,
            minutes=minutes,
            limit=limit,
        ),
    )
    if as_json:
        print_json(answer)
        return
    rows = cast("list[Row]", answer["traces"])
    if not rows:
        print(
            f"No trace matches in the last {minutes} minutes. Widen it with --minutes or drop a condition; "
            "names match whole."
        )
        return
    print_table(
        ("TRACE", "START", "ROOT", "DURATION", "SPANS", "ERRORS"),
        [
            (
                str(row["trace_id"]),
                clock_time(str(row["start"])),
                f"{row['root_service']} {row['root_operation']}",
                number(cast("float", row["duration_ms"]), " ms"),
                str(row["span_count"]),
                str(row["error_count"]),
            )
            for row in rows
        ],
    )


@app.command("show")
def show(trace_id: str, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """One trace as a waterfall."""
    trace = cast("Row", ApiClient(url).get(f"/api/traces/{trace_id}"))
    if as_json:
        print_json(trace)
        return
    spans = cast("list[Row]", trace["spans"])
    start = min(cast("int", span["start_unix_nano"]) for span in spans) / 1e6
    end = max(cast("int", span["start_unix_nano"]) / 1e6 + cast("float", span["duration_ms"]) for span in spans)
    scale = BAR_WIDTH / max(end - start, 1e-3)
    depth = _depths(spans)
    print_table(
        ("SPAN", "MS", "STATUS", ""),
        [
            (
                f"{'  ' * depth[str(span['span_id'])]}{span['service']} {span['name']}",
                number(cast("float", span["duration_ms"])),
                str(span["status"]),
                _bar(
                    (cast("int", span["start_unix_nano"]) / 1e6 - start) * scale,
                    cast("float", span["duration_ms"]) * scale,
                ),
            )
            for span in spans
        ],
    )


def _bar(offset: float, length: float) -> str:
    return " " * min(BAR_WIDTH - 1, round(offset)) + "━" * max(1, round(length))


def _depths(spans: list[Row]) -> dict[str, int]:
    """Depth of each span; a parent that is missing or is its own descendant counts as no parent."""
    parents = {str(span["span_id"]): cast("str | None", span["parent_span_id"]) for span in spans}
    depths: dict[str, int] = {}
    for span_id in parents:
        chain: list[str] = []
        at: str | None = span_id
        while at is not None and at in parents and at not in depths and at not in chain:
            chain.append(at)
            at = parents[at]
        base = depths.get(at, -1) if at is not None and at not in chain else -1
        for place, member in enumerate(reversed(chain), 1):
            depths[member] = base + place
    return depths
