"""``homeostat incidents``: what went wrong, what was done about it, and the buttons a person has."""

from typing import Annotated, cast

import typer

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import clock_time, print_json, print_table

app = typer.Typer(help="What went wrong and what was done about it.", no_args_is_help=True)
Row = dict[str, object]
WhoOption = Annotated[str, typer.Option("--who", help="Your name, for the audit.")]


@app.command("list")
def list_incidents(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """The latest incidents, newest first."""
    rows = cast("list[Row]", ApiClient(url).get("/api/incidents", open_only=open_only, limit=limit))
    if as_json:
        print_json(rows)
        return
    if not rows:
        print("No incidents.")
        return
    print_table(
        ("INCIDENT", "OPENED", "STATUS", "SEVERITY", "TITLE", "ROOT CAUSE"),
        [
            (
                str(row["id"]),
                clock_time(cast("str | None", row["opened_at"])),
                str(row["status"]),
                str(row["severity"]),
                str(row["title"]),
                str(cast("Row", row["root_cause"])["resource"]) if row["root_cause"] else "unknown",
            )
            for row in rows
        ],
    )


@app.command("show")
def show_incident(incident_id: str, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """One incident with its whole story."""
    found = cast("Row", ApiClient(url).get(f"/api/incidents/{incident_id}"))
    if as_json:
        print_json(found)
        return
    incident = cast("Row", found["incident"])
    print(f"{incident['title']} ({incident['status']}, {incident['severity']})")
    if incident["root_cause"]:
        cause = cast("Row", incident["root_cause"])
        print(f"Root cause: {cause['resource']}: {cause['reason']}")
    print_table(
        ("TIME", "WHAT", "TITLE", "DETAIL"),
        [
            (clock_time(str(entry["time"])), str(entry["kind"]), str(entry["title"]), str(entry["detail"]))
            for entry in cast("list[Row]", found["timeline"])
        ],
    )
    for run in cast("list[Row]", found["runs"]):
        if run["status"] == "awaiting_approval":
            print(f"Waiting for you: homeostat incidents approve {run['id']} --digest {run['plan_digest']}")


@app.command("approve")
def approve(
    run_id: str,
    digest: Annotated[str, typer.Option(help="The plan's digest, as shown: what you approve is exactly that plan.")],
    who: WhoOption,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Let a waiting run go ahead."""
    run = cast("Row", ApiClient(url).post(f"/api/runs/{run_id}/approve", {"who": who, "plan_digest": digest}))
    print(f"Approved. The run is now {run['status']}.")


@app.command("reject")
def reject(
    run_id: str,
    who: WhoOption,
    reason: Annotated[str, typer.Option(help="Why not.")] = "",
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Refuse a waiting run."""
    run = cast("Row", ApiClient(url).post(f"/api/runs/{run_id}/reject", {"who": who, "reason": reason}))
    print(f"Rejected. The run is now {run['status']}.")


@app.command("undo")
def undo(run_id: str, who: WhoOption, url: UrlOption = DEFAULT_URL) -> None:
    """Take back what a run did."""
    run = cast("Row", ApiClient(url).post(f"/api/runs/{run_id}/undo", {"who": who}))
    print(f"Done. The run is now {run['status']}.")
