"""The ``homeostat`` command. Exit codes: 0 held, 1 failed, 2 usage or configuration, 3 not reachable."""

import sys
from typing import Annotated, cast

import typer

from homeostat import __version__
from homeostat.cli import demo, events, flags, incidents, instrument, logs, metrics, slo, status, store, traces, up
from homeostat.cli.output import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, say_error
from homeostat.core.errors import ConfigError, HomeostatError, PortTakenError

app = typer.Typer(
    name="homeostat",
    help="Keeps running systems in balance: watches, detects, heals under a policy, and verifies by measuring.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("check")(up.check)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.add_typer(incidents.app, name="incidents")
app.add_typer(traces.app, name="traces")
app.add_typer(logs.app, name="logs")
app.add_typer(metrics.app, name="metrics")
app.add_typer(flags.app, name="flags")
app.add_typer(slo.app, name="slo")
app.add_typer(store.app, name="store")
app.add_typer(instrument.app, name="instrument")
app.add_typer(events.app, name="events")
app.add_typer(events.maintenance, name="maintenance")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"homeostat {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    del version


def main() -> None:
    """Entry point of the installed command: known errors become one sentence and a documented exit code."""
    try:
        app()
    except (HomeostatError, OSError, ExceptionGroup) as error:
        known = _only_one(error)
        if not isinstance(known, HomeostatError | OSError):
            raise
        sentence, code = _explained(known)
        say_error(sentence)
        sys.exit(code)


def _only_one(error: Exception) -> Exception:
    """The error itself: task groups wrap what is raised within them."""
    while isinstance(error, ExceptionGroup) and len(cast("ExceptionGroup[Exception]", error).exceptions) == 1:
        error = cast("ExceptionGroup[Exception]", error).exceptions[0]
    return error


def _explained(error: HomeostatError | OSError) -> tuple[str, int]:
    """What to tell a person, and the exit code."""
    match error:
        case ConfigError(problems=problems):
            count = len(problems)
            plural = "s" if count != 1 else ""
            return f"The configuration has {count} problem{plural}; nothing was started.\n{error}", EXIT_USAGE
        case PortTakenError():
            return str(error), EXIT_USAGE
        case ConnectionError():
            return str(error), EXIT_UNREACHABLE
        case HomeostatError():
            return str(error), EXIT_FAILED
        case OSError():
            what = error.strerror or str(error) or type(error).__name__
            where = f" ({error.filename})" if error.filename else ""
            advice = "Look at the paths that you gave, and at the addresses and paths in homeostat.yaml."
            return f"The operating system refused what Homeostat needs: {what}{where}. {advice}", EXIT_FAILED


if __name__ == "__main__":
    main()
