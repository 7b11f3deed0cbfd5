"""``homeostat demo``: the world, Homeostat beside it, and faults to watch being healed."""

import sys
import tempfile
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.output import EXIT_FAILED, print_table, say_error

if TYPE_CHECKING:
    from homeostat.world.rehearsal.rehearsal import RehearsalOptions
    from homeostat.world.rehearsal.report import Report
    from homeostat.world.rehearsal.stage import StageOptions


class OnOff(StrEnum):
    """A switch on the command line."""

    ON = "on"
    OFF = "off"


class ScenarioName(StrEnum):
    """``world.rehearsal.scenarios.SCENARIO_NAMES``, which would be slow to import for ``--help``."""

    UMBRELLA = "umbrella"
    CRASH = "crash"
    LATENCY = "latency"
    QUIET = "quiet"


def demo(  # noqa: PLR0917 - each is an option of the command
    headless: Annotated[bool, typer.Option(help="No page to look at: rehearse, report, exit.")] = False,
    scenario: Annotated[
        ScenarioName | None, typer.Option(help="What goes wrong. Default: the first three in turn.")
    ] = None,
    cycles: Annotated[int, typer.Option(min=1, max=10_000, help="Faults to inject (headless).")] = 3,
    heal: Annotated[OnOff, typer.Option(help="off is the control group: Homeostat only watches.")] = OnOff.ON,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same customers and faults.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON report (headless).")] = False,
    patience: Annotated[
        float | None, typer.Option(min=1, help="Seconds that a cycle may take; default 60, with --heal off 20.")
    ] = None,
    quiet_seconds: Annotated[float, typer.Option(min=1, help="Length of the quiet scenario.")] = 600,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds of healthy traffic first, for a baseline.")] = 45,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between faults (with a page).")] = 20,
    journeys: Annotated[bool, typer.Option(help="Print a line for every journey (on standard error).")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the dashboard.")] = 4000,
    keep: Annotated[
        Path | None, typer.Option(help="Keep data and logs in this directory; default: a temporary one.")
    ] = None,
) -> None:
    """Run a little shop and bank of real processes, break them, and watch them being healed."""
    from homeostat.net import bind
    from homeostat.world.rehearsal.rehearsal import RehearsalOptions
    from homeostat.world.rehearsal.stage import StageOptions

    healing = heal is OnOff.ON
    options = RehearsalOptions(
        seed=seed,
        cycles=cycles,
        heal=healing,
        patience_s=patience or (60.0 if healing else 20.0),
        warm_up_s=warm_up,
        quiet_s=quiet_seconds,
    )
    directory = nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="homeostat-demo-")
    with directory as folder:
        run_dir = Path(folder).resolve()
        if headless:
            _headless(
                scenario or "umbrella",
                options,
                StageOptions(run_dir=run_dir, seed=seed, heal=healing, show_journeys=journeys),
                as_json,
            )
            return
        bind("127.0.0.1", port, settings="--port").close()  # a taken port is said at once
        ports = {"api_port": port, "otlp_http_port": 0, "otlp_grpc_port": 0}
        stage = StageOptions(
            run_dir=run_dir, seed=seed, heal=healing, hold_off_s=15.0, show_journeys=journeys, **ports
        )
        _show(scenario, pause, options, stage)
        print("\nStopped; nothing was left running." + (f" Data and logs are in {run_dir}." if keep else ""))


def _headless(scenario: str, options: "RehearsalOptions", stage: "StageOptions", as_json: bool) -> None:
    """Rehearse and report. Exits with 1 when what should hold did not hold."""
    import anyio

    from homeostat.runtime import SystemClock, system_random
    from homeostat.world.rehearsal.shows import rehearse, until_told_to_stop

    reports: list[Report] = []

    async def work() -> None:
        chance = system_random(options.seed)
        reports.append(await rehearse(scenario, options, stage, SystemClock(), chance, say_error))

    anyio.run(until_told_to_stop, work, backend_options={"use_uvloop": True})
    if not reports:
        say_error("Stopped before the report; nothing was left running.")
        sys.exit(EXIT_FAILED)
    report = reports[0]
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        print_table(("TOTAL", ""), [(name, str(value)) for name, value in report.totals.model_dump().items()])
    if report.cycles:
        recovered = sum(cycle.recovered for cycle in report.cycles)
        say_error(f"{recovered} of {len(report.cycles)} faults healed and re-armed (healing: {options.heal}).")
    else:
        say_error(f"{report.totals.issues} issues and {report.totals.actions} actions without a fault.")
    if not report.held:
        sys.exit(EXIT_FAILED)


def _show(scenario: str | None, pause: float, options: "RehearsalOptions", stage: "StageOptions") -> None:
    """Until Ctrl-C."""
    import anyio

    from homeostat.runtime import SystemClock, system_random
    from homeostat.world.rehearsal.shows import show, until_told_to_stop

    async def work() -> None:
        await show(scenario, pause, options, stage, SystemClock(), system_random(options.seed), print)

    anyio.run(until_told_to_stop, work, backend_options={"use_uvloop": True})
