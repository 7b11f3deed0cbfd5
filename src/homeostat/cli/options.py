"""Checks of option values, before anything is asked: a wrong one is a usage error (exit code 2) that names it.

Used by the commands that search traces, logs and metrics.
"""

import typer

from homeostat.core.errors import BadRequestError
from homeostat.core.logs import severity_number


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
