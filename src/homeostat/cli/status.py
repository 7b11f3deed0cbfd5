"""``homeostat status``: the overview, on a terminal."""

from datetime import UTC, datetime
from typing import cast

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import number, percent, print_json, print_table

Row = dict[str, object]


def status(url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Health, services and the loop's counts."""
    client = ApiClient(url)
    overview = cast("Row", client.get("/api/overview"))
    if as_json:
        print_json(overview)
        return
    health = cast("Row", overview["health"])
    print(f"Health: {health['status']} ({health['reason']}). Mode: {overview['mode']}.")
    for line in _maintenance(cast("list[Row]", client.get("/api/maintenance")), str(overview["generated_at"])):
        print(line)
    loop = cast("dict[str, Row]", overview["loop"])
    print(
        f"Loop: {loop['observe']['spans_total']} spans; {loop['detect']['issues_total']} issues, "
        f"{loop['detect']['issues_open']} open; {loop['act']['runs_total']} actions, {loop['verify']['verified']} "
        f"verified, {loop['verify']['not_helped']} did not help; {loop['recover']['rearmed']} put back, "
        f"{loop['recover']['escalated']} escalated."
    )
    services = cast("list[Row]", overview["services"])
    if not services:
        print("No telemetry yet. Point an OpenTelemetry exporter at the address that `homeostat up` printed.")
        return
    print_table(
        ("SERVICE", "STATUS", "REQ/S", "ERRORS", "P95", "OPEN ISSUES"),
        [
            (
                str(row["service"]),
                str(row["status"]),
                number(cast("float | None", row["request_rate"])),
                percent(cast("float | None", row["error_rate"])),
                number(cast("float | None", row["latency_p95_ms"]), " ms"),
                str(row["open_issues"]),
            )
            for row in services
        ],
    )


def _maintenance(windows: list[Row], now: str) -> list[str]:
    """What holds healing back now. A window of single alerts only mutes those."""
    moment = datetime.fromisoformat(now)
    lines: list[str] = []
    for window in windows:
        end = datetime.fromisoformat(str(window["end"]))
        if window["alerts"] or not datetime.fromisoformat(str(window["start"])) <= moment < end:
            continue
        services = ", ".join(cast("list[str]", window["services"]))
        of = f" of {services}" if services else ""
        lines.append(
            f"Maintenance{of} until {end.astimezone(UTC):%Y-%m-%d %H:%M} UTC: healing shows what it would do and "
            "does nothing by itself."
        )
    return lines
