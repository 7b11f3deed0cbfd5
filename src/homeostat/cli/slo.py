"""``homeostat slo``: what is promised, how it stands, and the promises as files for and from others."""

import re
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import clock_time, number, print_json, print_table
from homeostat.core.errors import HomeostatError

app = typer.Typer(help="Service level objectives.", no_args_is_help=True)
Row = dict[str, object]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids; without one, all.")]

YAML = "application/yaml"
BAR = "▁▂▃▄▅▆▇█"
BAR_STEPS = 60
STDIN = "-"


@app.command("list")
def list_slos(
    service: Annotated[str | None, typer.Option("--service", help="Only those of this service.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Every objective and how it stands."""
    rows = cast("list[Row]", ApiClient(url).get("/api/slos", service=service))
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("No objectives. Make some with `homeostat slo import FILE`.")
        return
    print_table(
        ("ID", "NAME", "SERVICE", "TARGET", "CURRENT", "STATE", "BUDGET LEFT", "BURN 1h", "ALERTS", "FORECAST"),
        [
            (
                str(row["id"]),
                str(row["name"]),
                str(row["service"]),
                f"{row['target_percentage']:g} %",
                number(cast("float | None", row["current_percentage"]), " %", 3),
                str(row["state"]),
                _share(cast("Row", row["budget"])["remaining"]),
                _burn(row, 3600),
                ", ".join(_firing(row)) or "-",
                str(cast("Row", row["forecast"])["text"]),
            )
            for row in rows
        ],
    )


@app.command("show")
def show_slo(slo_id: str, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """One objective with its burn rates, alerts and history."""
    found = cast("Row", ApiClient(url).get(f"/api/slos/{slo_id}"))
    if as_json:
        print_json(found)
        return
    slo = cast("Row", found["slo"])
    budget, forecast = cast("Row", slo["budget"]), cast("Row", slo["forecast"])
    print(f"{slo['name']} ({slo['service']}): {slo['state']}")
    print(f"{slo['target_percentage']:g} % of {slo['indicator_text']}, over {slo['window_days']:g} days")
    print(f"Current: {number(cast('float | None', slo['current_percentage']), ' %', 4)} of {_events(slo)}")
    print(f"Budget left: {_share(budget['remaining'])}; {forecast['text']}")
    if slo["problem"]:
        print(f"Not evaluated: {slo['problem']}")
    print(f"Burned down: {_line(cast('Row', found['history']))}")
    print_table(
        ("WINDOW", "BURN RATE", "BAD", "EVENTS"),
        [
            (
                _length(rate["window_s"]),
                number(cast("float | None", rate["rate"]), "x", 2),
                f"{cast('float', rate['total']) - cast('float', rate['good']):,.0f}",
                f"{rate['total']:,.0f}",
            )
            for rate in cast("list[Row]", slo["burn_rates"])
        ],
    )
    print_table(
        ("ALERT", "SEVERITY", "FIRES", "SINCE"),
        [
            (
                str(alert["name"]),
                str(alert["severity"]),
                {True: "yes", False: "no", None: "unknown"}[cast("bool | None", alert["firing"])],
                clock_time(cast("str | None", alert["since"])),
            )
            for alert in cast("list[Row]", slo["alerts"])
        ],
    )


@app.command("import")
def import_slos(
    files: Annotated[list[str], typer.Argument(help="OpenSLO v1 files; - is standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come of it.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Make or replace objectives from OpenSLO files; a file with a problem changes nothing."""
    client, answers = ApiClient(url), list[Row]()
    for file in files:
        try:
            text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise HomeostatError(
                f"{file} cannot be read: {reason}. Name an OpenSLO v1 file in YAML or JSON."
            ) from error
        except UnicodeDecodeError as error:
            raise HomeostatError(f"{file} is not UTF-8 text. Name an OpenSLO v1 file in YAML or JSON.") from error
        try:
            answers.append(cast("Row", client.post_text("/api/slos/import", text, YAML, dry_run=dry_run)))
        except HomeostatError as error:
            raise HomeostatError(_in_file(file, str(error))) from error
    if as_json:
        print_json(answers)
        return
    for answer in answers:
        created = set(cast("list[str]", answer["created"]))
        for slo in cast("list[Row]", answer["slos"]):
            done = "made" if slo["id"] in created else "replaced"
            print(f"{slo['id']}  {slo['name']}: {'would be ' if dry_run else ''}{done}")
        for note in cast("list[str]", answer["notes"]):
            print(f"Note: {note}")


@app.command("export")
def export_slos(ids: Ids = None, url: UrlOption = DEFAULT_URL) -> None:
    """OpenSLO v1 YAML on standard output."""
    print(ApiClient(url).get_text("/api/slos/export", id=ids or []), end="")


@app.command("rules")
def rules(ids: Ids = None, url: UrlOption = DEFAULT_URL) -> None:
    """Prometheus recording and alerting rules on standard output."""
    print(ApiClient(url).get_text("/api/slos/rules", id=ids or []), end="")


@app.command("delete")
def delete_slo(slo_id: str, url: UrlOption = DEFAULT_URL) -> None:
    """Delete an objective; what brings it back goes to standard output."""
    client = ApiClient(url)
    text = client.get_text("/api/slos/export", id=[slo_id])
    client.delete(f"/api/slos/{slo_id}")
    print(f"# Deleted. To have it back: homeostat slo import FILE with this text\n{text}", end="")


def _in_file(file: str, problem: str) -> str:
    """Problems with their places in the file: to the API it is the body of a request."""
    name = "standard input" if file == STDIN else file
    text, places = re.subn(r"^body:(?=\d)", lambda _: f"{name}:", problem, flags=re.MULTILINE)
    return text if places else f"{name}: {problem}"


def _firing(row: Row) -> list[str]:
    return [str(alert["name"]) for alert in cast("list[Row]", row["alerts"]) if alert["firing"]]


def _burn(row: Row, window_s: int) -> str:
    rates = {rate["window_s"]: rate["rate"] for rate in cast("list[Row]", row["burn_rates"])}
    return number(cast("float | None", rates.get(window_s)), "x", 2)


def _share(value: object) -> str:
    return number(None if value is None else 100 * cast("float", value), " %", 1)


def _events(slo: Row) -> str:
    if slo["total"] is None:
        return "no events"
    return f"{slo['total']:,.0f} events, {slo['bad']:,.0f} of them bad"


def _length(window_s: object) -> str:
    seconds = cast("int", window_s)
    return f"{seconds // 86_400} d" if seconds >= 86_400 else f"{seconds // 60} min"


def _line(history: Row) -> str:
    """The budget over the window as one line of blocks; a dot is a time in which nobody was counting."""
    points = cast("list[Row]", history["points"])
    chosen = points[:: max(1, len(points) // BAR_STEPS)]
    left = [cast("float | None", point["budget_remaining"]) for point in chosen]
    return "".join("·" if one is None else BAR[round(max(0.0, min(1.0, one)) * (len(BAR) - 1))] for one in left)
