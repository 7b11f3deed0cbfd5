"""How commands speak: tables for people, JSON for scripts, one plain sentence for errors."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


def say_error(message: str) -> None:
    """To standard error, without decoration, so that it survives logs and pipes."""
    print(message, file=sys.stderr)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """A plain table; when standard output is no terminal it is as wide as it needs to be."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def number(value: float | None, unit: str = "", digits: int = 1) -> str:
    """A figure with its unit; ``unknown`` when there is none."""
    return "unknown" if value is None else f"{value:,.{digits}f}{unit}"


def percent(ratio: float | None) -> str:
    """A ratio 0..1 as a percentage."""
    return "unknown" if ratio is None else f"{100 * ratio:.2f} %"


def clock_time(text: str | None) -> str:
    """The local time of day of an RFC 3339 time."""
    return "" if not text else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
