"""``homeostat metrics``: which metrics systems send, and their series."""

from typing import Annotated, Final, cast

import typer
from rich.markup import escape

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.options import pairs
from homeostat.cli.output import EXIT_FAILED, clock_time, print_json, print_table, say_error
from homeostat.cli.spark import sparkline
from homeostat.cli.text import one_line
from homeostat.cli.traces_compared import MinutesOption, ServiceOption
from homeostat.core.metrics import MetricAggregation, MetricType, usual_aggregation

app = typer.Typer(help="Metrics that systems send.", no_args_is_help=True)

Row = dict[str, object]
_COUNTING: Final = {MetricAggregation.RATE, MetricAggregation.INCREASE, MetricAggregation.COUNT}
"""Of a histogram or summary these count measurements."""

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
    client = ApiClient(url)
    answer = cast(
        "Row",
        client.get(
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
    series = cast("list[Row]", answer["series"])
    if as_json:
        print_json(answer)
    if not series:
        say_error(f"Nothing of {name} in the last {minutes} minutes. `homeostat metrics list` has the names.")
        raise typer.Exit(EXIT_FAILED)
    if as_json:
        return
    known = cast("list[Row]", client.get("/api/metrics-catalog", contains=name, minutes=minutes, limit=10_000))
    metric = next((row for row in known if row["name"] == name), None)
    print(head_of(name, metric, aggregation, quantile))
    print_table(("LABELS", "", "MIN", "MAX", "LAST"), [_cells(row) for row in series])
    print(f"From {clock_time(str(answer['start']))}, steps of {answer['step_s']} s.")


def head_of(name: str, metric: Row | None, aggregation: str | None, quantile: float) -> str:
    """What the figures are: the aggregation, and its unit, which for a rate is per second."""
    if metric is None:  # gone from the catalogue meanwhile: the unit is not known
        return one_line(name) + (f": {aggregation}" if aggregation else "")
    kind = MetricType(str(metric["type"]))
    used = MetricAggregation(aggregation or usual_aggregation(kind, monotonic=bool(metric["monotonic"])))
    text = f"quantile {quantile:g}" if used is MetricAggregation.QUANTILE else used.value
    unit = "" if metric["unit"] == "1" else one_line(str(metric["unit"])).strip("{}")
    of_events = kind not in {MetricType.GAUGE, MetricType.SUM} and used in _COUNTING
    if used is MetricAggregation.COUNT or of_events:
        unit = ""  # a number of measurements or points, whatever they measured
    if used is MetricAggregation.RATE:
        return f"{one_line(name)}: {text}, {f'{unit} ' if unit else ''}per second"
    return f"{one_line(name)}: {text}" + (f", in {unit}" if unit else "")


def _cells(row: Row) -> tuple[str, ...]:
    values = cast("list[float | None]", row["values"])
    known = [value for value in values if value is not None]
    labels = ", ".join(f"{key}={value}" for key, value in cast("dict[str, str]", row["labels"]).items())
    return (
        escape(one_line(labels)) or "(all)",
        sparkline(values),
        *(f"{value:,.6g}" for value in (min(known), max(known), known[-1])),
    )
