"""``homeostat traces compare``, ``why-slow`` and ``bottlenecks``: questions over two traces, and over many."""

from typing import Annotated, cast

import typer

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.options import pairs
from homeostat.cli.output import number, percent, print_json, print_table

Row = dict[str, object]
_SIDES = ("left_calls", "right_calls", "left_self_ms", "right_self_ms")

ServiceOption = Annotated[str | None, typer.Option(help="Its service.name, in full.")]
OperationOption = Annotated[str | None, typer.Option(help="A span's name, in full.")]
AttributeOption = Annotated[
    list[str] | None, typer.Option(help="key=value; may be given several times.", callback=pairs)
]
TextOption = Annotated[str | None, typer.Option(help="Occurs in a name, a message, an attribute or an event.")]
MinutesOption = Annotated[int, typer.Option(min=1, help="How far back.")]
SampleOption = Annotated[int, typer.Option(min=10, max=500, help="Traces to look at on each side.")]


def compare(left: str, right: str, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Two traces side by side, by their ids."""
    answer = cast("Row", ApiClient(url).get("/api/traces/compare", left=left, right=right))
    if as_json:
        print_json(answer)
        return
    delta = cast("float", answer["delta_ms"])
    changes = cast("dict[str, int]", answer["changes"])
    left_ms, right_ms = (number(cast("float", answer[key]), " ms") for key in ("left_ms", "right_ms"))
    told = ", ".join(f"{count} {change}" for change, count in changes.items() if count)
    print(f"{left_ms} against {right_ms}: {delta:+,.1f} ms. {told}.")
    print_table(
        ("SPAN", "CHANGE", "LEFT MS", "RIGHT MS", "DIFFERENCE", "LEFT SELF", "RIGHT SELF"),
        [
            (
                f"{'  ' * cast('int', span['depth'])}{span['service']} {span['operation']}",
                str(span["change"]),
                *(_ms(span[key]) for key in ("left_ms", "right_ms")),
                _signed(span["delta_ms"]),
                *(_ms(span[key]) for key in ("left_self_ms", "right_self_ms")),
            )
            for span in cast("list[Row]", answer["spans"])
        ],
    )
    _print_notes(answer)


def why_slow(
    *,
    service: ServiceOption = None,
    operation: OperationOption = None,
    threshold_ms: Annotated[float | None, typer.Option(help="Where slow begins; default: the P95.")] = None,
    split: Annotated[str, typer.Option(help="latency, errors or time (now against as long before).")] = "latency",
    attribute: AttributeOption = None,
    text: TextOption = None,
    minutes: MinutesOption = 15,
    sample: SampleOption = 300,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 15,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """What the slow traces (or the failed, or those of now) have more often than the others."""
    answer = cast(
        "Row",
        ApiClient(url).get(
            "/api/analysis/differences",
            service=service,
            operation=operation,
            threshold_ms=threshold_ms,
            split=split,
            attribute=attribute,
            text=text,
            minutes=minutes,
            sample=sample,
            limit=limit,
        ),
    )
    if as_json:
        print_json(answer)
        return
    affected, baseline = cast("Row", answer["affected"]), cast("Row", answer["baseline"])
    slow_from = f" (from {number(cast('float', answer['threshold_ms']))} ms)" if answer["threshold_ms"] else ""
    print(f"{affected['traces']} traces in question{slow_from}, {baseline['traces']} to hold them against.")
    print_table(
        ("WHAT", "IN QUESTION", "OTHERS", "DIFFERENCE", "BY CHANCE"),
        [_difference(row) for row in cast("list[Row]", answer["differences"])],
        title="What they have more often, or more rarely:",
    )
    print_table(
        ("OPERATION", "CALLS", "CALLS IN QUESTION", "SELF MS", "SELF MS IN QUESTION", "DIFFERENCE"),
        [
            (
                f"{row['service']} {row['operation']}",
                *(number(cast("float", row[key])) for key in _SIDES),
                _signed(row["delta_self_ms"]),
            )
            for row in cast("list[Row]", answer["operations"])
        ],
        title="Where the time goes, per trace:",
    )
    _print_notes(answer)


def bottlenecks(
    *,
    service: ServiceOption = None,
    operation: OperationOption = None,
    attribute: AttributeOption = None,
    text: TextOption = None,
    minutes: MinutesOption = 15,
    sample: SampleOption = 300,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 15,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """The operations in which traces spend most of their time themselves."""
    answer = cast(
        "Row",
        ApiClient(url).get(
            "/api/analysis/bottlenecks",
            service=service,
            operation=operation,
            attribute=attribute,
            text=text,
            minutes=minutes,
            sample=sample,
            limit=limit,
        ),
    )
    if as_json:
        print_json(answer)
        return
    print_table(
        ("OPERATION", "SHARE", "ON THE CRITICAL PATH", "SELF MS A TRACE", "P95 SELF MS", "SPANS", "ERRORS"),
        [
            (
                f"{row['service']} {row['operation']}",
                percent(cast("float", row["self_share"])),
                percent(cast("float", row["critical_share"])),
                number(cast("float", row["self_ms_per_trace"])),
                number(cast("float", row["self_p95_ms"])),
                number(cast("float", row["spans"]), digits=0),
                number(cast("float", row["errors"]), digits=0),
            )
            for row in cast("list[Row]", answer["bottlenecks"])
        ],
    )
    _print_notes(answer)


def _difference(row: Row) -> tuple[str, ...]:
    what = f"{row['service']}: {row['key']}"
    if row["kind"] == "error":
        what += " failed"
    elif row["relation"]:
        what += f" {row['relation']} {row['value']}"
    return (
        what,
        percent(cast("float", row["affected_share"])),
        percent(cast("float", row["baseline_share"])),
        f"{100 * cast('float', row['separation']):+.1f} points",
        f"q = {cast('float', row['q_value']):.2g}" if row["significant"] else "perhaps",
    )


def _ms(value: object) -> str:
    return "" if value is None else number(cast("float", value))


def _signed(value: object) -> str:
    return "" if value is None else f"{cast('float', value):+,.1f}"


def _print_notes(answer: Row) -> None:
    for note in cast("list[str]", answer["notes"]):
        print(note)
