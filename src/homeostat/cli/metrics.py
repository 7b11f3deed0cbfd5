"""``homeostat metrics``: which metrics systems send, and their series."""

from typing import Annotated, cast

import typer
from rich.markup import escape

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.options import pairs
from homeostat.cli.output import EXIT_FAILED, clock_time, print_json, print_table, say_error
from homeostat.cli.spark import sparkline
from homeostat.cli.text import one_line
from homeostat.cli.traces_compared import MinutesOption, ServiceOption

app = typer.Typer(help="Metrics that systems send.", no_args_is_help=True)

Row = dict[str, object]
LabelOption = Annotated[list[str] | None, typer.Option(help="key=value; may be given several times.", callback=pairs)]


@app.command("list")
def list_metrics(
    contains: Annotated[str, typer.Argument(help="Part of the name.")] = "",
    *,
    minutes: MinutesOption = 1440,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 1000,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Metrics with a point in this time, by name."""
    client = ApiClient(url)
    rows = cast("list[Row]", client.get("/api/metrics-catalog", contains=contains, minutes=minutes, limit=limit))
    if as_json:
        print_json(rows)
        return
    if not rows:
        print(f"No metrics in the last {minutes} minutes.")
        return
    print_table(
        ("NAME", "TYPE", "UNIT", "SERVICES", "DESCRIPTION"),
        [
            tuple(
                escape(one_line(text))
                for text in (
                    str(row["name"]),
                    str(row["type"]),
                    str(row["unit"]),
                    ", ".join(cast("list[str]", row["services"])),
                    str(row["description"]),
                )
            )
            for row in rows
        ],
    )


@app.command("query")
def query(
    name: str,
    *,
    service: ServiceOption = None,
    label: LabelOption = None,
    by: Annotated[list[str] | None, typer.Option(help="Put series together by this label; several times.")] = None,
    together: Annotated[bool, typer.Option("--all", help="Put all series together.")] = False,
    aggregation: Annotated[
        str | None, typer.Option(help="last, avg, min, max, sum, count, rate, increase or quantile.")
    ] = None,
    quantile: Annotated[float, typer.Option(help="Of a histogram, between 0 and 1.")] = 0.95,
    step: Annotated[int | None, typer.Option(min=1, help="Seconds.")] = None,
    minutes: MinutesOption = 60,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Series.")] = 20,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Series of one metric, as lines."""
    answer = cast(
        "Row",
        ApiClient(url).get(
            "/api/metrics/query",
            name=name,
            service=service,
            label=label,
            group_by=[""] if together else by,
            aggregation=aggregation,
            quantile=quantile,
            step_s=step,
            minutes=minutes,
            limit=limit,
        ),
    )
    if as_json:
        print_json(answer)
        return
    series = cast("list[Row]", answer["series"])
    if not series:
        say_error(f"Nothing of {name} in the last {minutes} minutes. `homeostat metrics list` has the names.")
        raise typer.Exit(EXIT_FAILED)
    print_table(("LABELS", "", "MIN", "MAX", "LAST"), [_cells(row) for row in series])
    print(f"From {clock_time(str(answer['start']))}, steps of {answer['step_s']} s.")


def _cells(row: Row) -> tuple[str, ...]:
    values = cast("list[float | None]", row["values"])
    known = [value for value in values if value is not None]
    labels = ", ".join(f"{key}={value}" for key, value in cast("dict[str, str]", row["labels"]).items())
    return (
        escape(one_line(labels)) or "(all)",
        sparkline(values),
        *(f"{value:,.6g}" for value in (min(known), max(known), known[-1])),
    )
