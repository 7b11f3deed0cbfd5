"""Checks of option values, before anything is asked: a wrong one is a usage error (exit code 2) that names it.

Used by the commands that search and export traces, logs and metrics.
"""

from pathlib import Path
from typing import Final

import typer

from homeostat.core.errors import BadRequestError
from homeostat.core.logs import severity_number

_FORMATS: Final = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".parquet": "parquet", "": "ndjson"}


def format_by_name(out: Path) -> str:
    """What an export writes into a file of this name: ndjson, csv or parquet; without a suffix ndjson."""
    found = _FORMATS.get(out.suffix.lower())
    if found is None:
        raise typer.BadParameter(
            f"{out.name!r} ends in none of .ndjson, .csv and .parquet. Name it so, or give --format.",
            param_hint="OUT",
        )
    return found


def pairs(texts: list[str] | None) -> list[str] | None:
    """Each is ``key=value``."""
    for text in texts or ():
        key, equals, _ = text.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{text[:200]!r} is no condition. Write key=value.")
    return texts


def severity(text: str | None) -> str | None:
    """A name or number of a severity."""
    try:
        severity_number(text)
    except BadRequestError as error:
        raise typer.BadParameter(str(error)) from error
    return text
