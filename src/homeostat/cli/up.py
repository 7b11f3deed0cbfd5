"""``homeostat up`` and ``homeostat check``."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("homeostat.yaml")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration; default: homeostat.yaml here, if there is one.")
]


def up(
    config: ConfigOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is going on.")] = False,
) -> None:
    """Run Homeostat until Ctrl-C: API and dashboard, receivers, and the loop."""
    from homeostat.cli.installed import Installed
    from homeostat.config import load_config
    from homeostat.core.config import Config
    from homeostat.server import serve

    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    serve(load_config(path, Installed()) if path else Config(), verbose=verbose)


def check(
    file: Annotated[Path, typer.Argument(help="The configuration to read.")] = DEFAULT_CONFIG,
) -> None:
    """Read a configuration and name every problem in it; nothing is started."""
    from homeostat.cli.installed import Installed
    from homeostat.config import load_config

    config = load_config(file, Installed())
    watched = len(config.watch.processes)
    print(f"{file} is fine: mode {config.heal.mode}, {watched} process{'es' if watched != 1 else ''} watched.")
