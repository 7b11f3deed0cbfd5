"""``homeostat flags``: read and change feature flags."""

from typing import Annotated, cast

import typer

from homeostat.cli.client import DEFAULT_URL, ApiClient, JsonOption, UrlOption
from homeostat.cli.output import print_json, print_table

app = typer.Typer(help="Read and change feature flags.", no_args_is_help=True)
Row = dict[str, object]


@app.command("list")
def list_flags(url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Every flag with its present value and the one it has when all is well."""
    rows = cast("list[Row]", ApiClient(url).get("/api/flags"))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("FLAG", "VALUE", "WHEN ALL IS WELL", "WHAT IT DOES"),
        [(str(row["flag"]), _on(row["value"]), _on(row["armed"]), str(row["description"])) for row in rows],
    )


@app.command("set")
def set_flag(
    flag: str,
    value: Annotated[bool, typer.Argument(help="true or false")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "changed on the command line",
    who: Annotated[str, typer.Option("--who", help="Your name, for the audit.")] = "command line",
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Turn a flag on or off."""
    body: dict[str, object] = {"flag": flag, "value": value, "reason": reason, "triggeredBy": who}
    change = cast("Row", ApiClient(url).post("/api/remediation/feature-flag", body))
    print(f"{flag} is now {_on(change['newValue'])} (it was {_on(change['previousValue'])}).")


def _on(value: object) -> str:
    return "unknown" if value is None else "on" if value else "off"
