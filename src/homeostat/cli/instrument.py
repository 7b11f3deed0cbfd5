"""``homeostat instrument``: run a program under OpenTelemetry's auto-instrumentation, or ask why it is silent."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from homeostat.cli.client import JsonOption
from homeostat.cli.output import EXIT_FAILED, print_json, print_table, say_error
from homeostat.cli.store import storage_of
from homeostat.cli.up import ConfigOption

if TYPE_CHECKING:
    from homeostat.instrument.doctor import Report
    from homeostat.instrument.plan import Plan


class _RunByDefault(TyperGroup):
    """``instrument -- python app.py`` is ``instrument run -- python app.py``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    help="Run a Python program under OpenTelemetry's auto-instrumentation: homeostat instrument -- python app.py",
    no_args_is_help=True,
)

ServiceOption = Annotated[str | None, typer.Option("--service", help="service.name; default: guessed.")]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", help="OTLP over HTTP, e.g. http://127.0.0.1:4318; default: what runs here."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Data directory of the running Homeostat; default: storage.path of the configuration."
    ),
]
HomeostatOption = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="HOMEOSTAT_URL", help="Where the Homeostat answers that is meant, if there are several."
    ),
]
Command = Annotated[list[str], typer.Argument(help="The program, behind `--`.")]
_ANY = {"allow_interspersed_args": False, "ignore_unknown_options": False}


@app.command("run", context_settings=_ANY)
def run(
    command: Command,
    service: ServiceOption = None,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    url: HomeostatOption = None,
) -> None:
    """Run a program; signals and exit code are its own."""
    from homeostat.instrument.launch import environment, refusal_of, service_of

    plan = _plan(command)
    where = _endpoint(endpoint, data, config, url)
    name = service or service_of(command, Path.cwd(), os.environ)
    environ = environment(plan, endpoint=where, service=name, environ=os.environ)
    say_error(f"homeostat: traces, metrics and logs of {name} go to {where} ({plan.way} instrumentation)")
    if (refusal := refusal_of(where)) is not None:
        say_error(
            f"homeostat: nothing listens there now ({refusal}). Start it with `homeostat up`, or name another "
            "receiver with --endpoint, or its data directory with --data."
        )
    if plan.missing:
        say_error(f"homeostat: not instrumented yet; this brings it: {plan.target.install(plan.missing)}")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], command, environ)


@app.command("doctor", context_settings=_ANY)
def doctor(
    command: Annotated[list[str] | None, typer.Argument(help="A program to start and watch, behind `--`.")] = None,
    service: ServiceOption = None,
    endpoint: EndpointOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    url: HomeostatOption = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long the program may run.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Say which libraries can be hooked and, with a program, which really were; exit code 1: none."""
    from homeostat.instrument import doctor as examination
    from homeostat.instrument.launch import service_of

    words = command or []
    report = examination.examine(
        _plan(words),
        words,
        endpoint=_endpoint(endpoint, data, config, url),
        service=service or service_of(words, Path.cwd(), os.environ),
        environ=os.environ,
        seconds=seconds,
    )
    if as_json:
        print_json(examination.as_json(report))
    else:
        _show(report)
    if not report.hooked:
        raise typer.Exit(EXIT_FAILED)


@app.command("nginx")
def nginx(
    service: Annotated[str, typer.Option("--service", help="service.name of its spans.")] = "nginx",
    endpoint: Annotated[str, typer.Option("--endpoint", help="OTLP over gRPC, for the module.")] = "127.0.0.1:4317",
) -> None:
    """Print what nginx needs: its OpenTelemetry module's configuration where it is there, else a log format."""
    from homeostat.drivers.nginx.setup import configuration

    print(configuration(service, endpoint))


def _endpoint(given: str | None, data: Path | None, config: Path | None, url: str | None) -> str:
    from homeostat.instrument.launch import endpoint_of

    if given is None and data is None:
        data = storage_of(config, None, must_exist=False).path
    return endpoint_of(given, data or Path(), os.environ, url)


def _plan(command: list[str]) -> "Plan":
    from homeostat.instrument.plan import make_plan
    from homeostat.instrument.target import interpreter_of, look

    return make_plan(look(interpreter_of(command)))


def _show(report: "Report") -> None:
    print(f"Python {report.version} ({report.python}), {report.way} instrumentation, service {report.service}")
    answer = "answers" if report.endpoint.answers else "does not answer"
    print(f"{report.endpoint.address} {answer}: {report.endpoint.detail}")
    print_table(
        ("LIBRARY", "VERSION", "STATE", "SPANS", "INSTRUMENTATION", "WHY"),
        [
            (
                each.library or "(standard library)",
                each.version,
                each.verdict,
                "" if each.spans is None else str(each.spans),
                each.package,
                each.why,
            )
            for each in report.findings
        ],
    )
    if report.exit_code:
        print(f"The program ended with exit code {report.exit_code}.")
    if not report.hooked:
        print("Nothing was hooked.")
