"""``homeostat up`` and ``homeostat check``."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from homeostat.core.config import Config

DEFAULT_CONFIG = Path("homeostat.yaml")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration; default: homeostat.yaml here, if there is one.")
]


def up(
    config: ConfigOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is going on.")] = False,
) -> None:
    """Run Homeostat until Ctrl-C: API and dashboard, receivers, and the loop."""
    gc.disable()  # what is imported stays: to look through all of it again and again is a tenth of the start
    try:
        from homeostat.core.config import Config
        from homeostat.server import serve
    finally:
        gc.enable()
    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    serve(_read(path) if path else Config(), verbose=verbose)


def check(
    file: Annotated[Path, typer.Argument(help="The configuration to read.")] = DEFAULT_CONFIG,
) -> None:
    """Read a configuration and name every problem in it; nothing is started."""
    config = _read(file)
    watched = len(config.watch.processes)
    print(f"{file} is fine: mode {config.heal.mode}, {watched} process{'es' if watched != 1 else ''} watched.")


def _read(file: Path) -> "Config":
    """The configuration, and what it names beside itself: flags, actions and OpenSLO files. Raises ConfigError."""
    from homeostat.cli.installed import Installed
    from homeostat.config import load_config
    from homeostat.observe.slo.openslo_files import read_paths
    from homeostat.runtime import SystemClock

    config = load_config(file, Installed())
    read_paths(config.slo.files, SystemClock().now())
    return config
