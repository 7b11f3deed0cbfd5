"""``homeostat traces``: search, and a waterfall in the terminal. Comparisons are in ``traces_compared``."""

from typing import Annotated, cast
from urllib.parse import quote

import typer

from homeostat.cli import traces_compared
from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import clock_time, number, print_json, print_table
from homeostat.cli.traces_compared import (
    AttributeOption,
    MinutesOption,
    OperationOption,
    ServiceOption,
)
from homeostat.core.errors import NotFoundError
from homeostat.core.trace_ids import full_trace_id

app = typer.Typer(help="Search traces, read one, and ask why some are slow.", no_args_is_help=True)
app.command("compare")(traces_compared.compare)
app.command("why-slow")(traces_compared.why_slow)
app.command("bottlenecks")(traces_compared.bottlenecks)

Row = dict[str, object]
BAR_WIDTH = 40


@app.command("search")
def search(
    *,
    service: ServiceOption = None,
    operation: OperationOption = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only traces with an error.")] = False,
    min_ms: Annotated[float | None, typer.Option(help="At least this long, in milliseconds.")] = None,
    max_ms: Annotated[float | None, typer.Option(help="At most this long, in milliseconds.")] = None,
    attribute: AttributeOption = None,
    text: Annotated[str | None, typer.Option(help="Occurs anywhere in a span; or a trace id.")] = None,
    minutes: MinutesOption = 15,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    cursor: Annotated[str | None, typer.Option(help="Of the page before: gives the next one.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Traces that match, newest first. A trace id as --text shows that trace, whenever it was."""
    if text is not None and not as_json and _shown_by_id(ApiClient(url), text):
        return
    answer = cast(
        "Row",
        ApiClient(url).get(
            "/api/traces",
            service=service,
            operation=operation,
            errors_only=errors or None,
            min_duration_ms=min_ms,
            max_duration_ms=max_ms,
            attribute=attribute,
            text=text,
            minutes=minutes,
            limit=limit,
            cursor=cursor,
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
    if answer["next_cursor"] is not None:
        print(f"There are more: --cursor {answer['next_cursor']}")


@app.command("show")
def show(trace_id: str, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """One trace as a waterfall; what it waited for (the critical path) is marked with *."""
    _show(ApiClient(url), trace_id, as_json=as_json)


def _shown_by_id(client: ApiClient, text: str) -> bool:
    """Whether a text is the id of a stored trace, which is shown then; of one that is not stored it is said."""
    wanted = full_trace_id(text)
    if wanted is None:
        return False
    try:
        _show(client, wanted, as_json=False)
    except NotFoundError as error:
        print(f"{error} Searched for as a text:")
        return False
    return True


def _show(client: ApiClient, trace_id: str, *, as_json: bool) -> None:
    trace = cast("Row", client.get(f"/api/traces/{quote(trace_id, safe='')}"))
    if as_json:
        print_json(trace)
        return
    analysis = cast("Row", client.get(f"/api/traces/{quote(trace_id, safe='')}/analysis"))
    times = {str(row["span_id"]): row for row in cast("list[Row]", analysis["spans"])}
    scale = BAR_WIDTH / max(cast("float", analysis["duration_ms"]), 1e-3)
    print_table(
        ("SPAN", "MS", "SELF MS", "*", "STATUS", ""),
        [_line(span, times[str(span["span_id"])], scale) for span in cast("list[Row]", trace["spans"])],
    )
    for note in cast("list[str]", analysis["notes"]):
        print(note)


def _line(span: Row, times: Row, scale: float) -> tuple[str, ...]:
    start, duration = cast("float", times["start_ms"]), cast("float", times["duration_ms"])
    return (
        f"{'  ' * cast('int', times['depth'])}{span['service']} {span['name']}",
        number(duration),
        number(cast("float", times["self_ms"])),
        "*" if cast("float", times["critical_ms"]) > 0 else "",
        str(span["status"]),
        " " * min(BAR_WIDTH - 1, round(start * scale)) + "━" * max(1, round(duration * scale)),
    )
