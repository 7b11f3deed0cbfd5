"""``homeostat events`` and ``homeostat maintenance``: what happened, what changed before, planned trouble."""

from typing import Annotated, cast

import typer

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import clock_time, print_json, print_table

app = typer.Typer(help="What happened around the systems.", no_args_is_help=True)
maintenance = typer.Typer(
    help="Times in which nobody is alerted and nothing is healed by itself.", no_args_is_help=True
)

Row = dict[str, object]
ServiceOption = Annotated[list[str] | None, typer.Option("--service", help="A service; may be given several times.")]


@app.command("list")
def list_events(
    minutes: Annotated[int, typer.Option(min=1, max=525_600, help="How far back.")] = 60,
    type: Annotated[str | None, typer.Option(help="incident, deployment, alert or anomaly.")] = None,
    service: Annotated[str | None, typer.Option(help="Only those that name it.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=2000)] = 50,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """The timeline, newest first."""
    found = cast("Row", ApiClient(url).get("/api/events", minutes=minutes, type=type, service=service, limit=limit))
    if as_json:
        print_json(found)
        return
    rows = [cast("Row", answer["event"]) for answer in cast("list[Row]", found["events"])]
    if not rows:
        print("No events.")
        return
    print_table(
        ("TIME", "ENDED", "TYPE", "SEVERITY", "TITLE", "SERVICES"),
        [
            (
                clock_time(cast("str", row["time"])),
                clock_time(cast("str | None", row["ended_at"])),
                str(row["change"] or row["type"]),
                str(row["severity"]),
                str(row["title"]),
                _joined(row["services"]),
            )
            for row in rows
        ],
    )


@app.command("changes")
def changes(
    service: ServiceOption = None,
    before: Annotated[str | None, typer.Option(help="A time such as 2026-01-31T12:00:00Z. Default: now.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """What changed before a moment, the likeliest explanation of a trouble first."""
    rows = cast("list[Row]", ApiClient(url).get("/api/changes", service=service or [], before=before))
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("Nothing is known to have changed.")
        return
    print_table(
        ("SCORE", "TIME", "WHAT", "WHY"),
        [
            (
                f"{cast('float', row['score']):.2f}",
                clock_time(str(cast("Row", row["event"])["time"])),
                str(cast("Row", row["event"])["title"]),
                str(row["why"]),
            )
            for row in rows
        ],
    )


@app.command("tell")
def tell(
    title: str,
    service: ServiceOption = None,
    change: Annotated[str, typer.Option(help="deployment, configuration, scaling or flag.")] = "deployment",
    description: Annotated[str, typer.Option(help="What else there is to say.")] = "",
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Put a deployment or another change on the timeline, e.g. from a pipeline."""
    body: dict[str, object] = {
        "title": title,
        "change": change,
        "services": list(service or ()),
        "description": description,
        "source": "cli",
    }
    answer = cast("Row", ApiClient(url).post("/api/events", body))
    print(f"Told: {cast('Row', answer['event'])['id']}.")


@maintenance.command("list")
def list_windows(
    over: Annotated[bool, typer.Option("--over", help="Also those of the last 30 days.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Windows that last or are to come, silences of the Alertmanager among them."""
    rows = cast("list[Row]", ApiClient(url).get("/api/maintenance", over=over))
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("No maintenance.")
        return
    print_table(
        ("WINDOW", "START", "END", "SERVICES", "REASON", "BY"),
        [
            (
                str(row["id"]),
                clock_time(str(row["start"])),
                clock_time(str(row["end"])),
                _joined(row["services"]) or "all",
                str(row["reason"]),
                str(row["created_by"]),
            )
            for row in rows
        ],
    )


@maintenance.command("start")
def start(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")],
    who: Annotated[str, typer.Option("--who", help="Your name, for the timeline.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    service: ServiceOption = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Begin maintenance of some services now; of all where none is named."""
    body: dict[str, object] = {"minutes": minutes, "who": who, "reason": reason, "services": list(service or ())}
    window = cast("Row", ApiClient(url).post("/api/maintenance", body))
    print(f"{window['id']}: {_joined(window['services']) or 'all services'} until {clock_time(str(window['end']))}.")


@maintenance.command("end")
def end(window_id: str, url: UrlOption = DEFAULT_URL) -> None:
    """End a window now."""
    window = cast("Row", ApiClient(url).delete(f"/api/maintenance/{window_id}"))
    print(f"Ended: {window['id']}.")


def _joined(names: object) -> str:
    return ", ".join(cast("list[str]", names))
