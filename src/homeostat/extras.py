"""How an extra of Homeostat's is installed where this one runs. Called wherever a package of an extra is missing.

A bare ``homeostat[...]`` is never named: a package index may know another package of that name, and pip would put it
in the place of this one.
"""

import json
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

CONSTRAINTS: Final = Path("script/constraints.txt")
"""The versions of a checkout that belong together."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where this installation came from: a folder or file of this machine, and whether it runs from there."""

    path: Path
    editable: bool = False


def install_command(extra: str) -> str:
    """The command that brings an extra, in the words of a shell; without a known origin the one of a checkout."""
    return command_for(extra, origin())


def command_for(extra: str, source: Origin | None) -> str:
    """``install_command`` for an installation that came from ``source``."""
    if source is None:
        return f"pip install -c {CONSTRAINTS} '.[{extra}]' (in a checkout of Homeostat)"
    words = [sys.executable, "-m", "pip", "install"]
    constraints = source.path / CONSTRAINTS
    if constraints.is_file():
        words += ["-c", str(constraints)]
    if source.editable:
        words.append("-e")
    return " ".join([*map(shlex.quote, words), f"'{source.path}[{extra}]'"])


def origin() -> Origin | None:
    """What pip wrote down when it installed this; None when it came from an index, or from what is gone."""
    try:
        return origin_in(metadata.distribution("homeostat").read_text("direct_url.json"))
    except metadata.PackageNotFoundError:
        return None


def origin_in(text: str | None) -> Origin | None:
    """The origin in a ``direct_url.json`` (its form: PyPA's specification of direct URLs)."""
    try:
        written = cast("object", json.loads(text or ""))
    except ValueError:
        return None
    fields = cast("dict[str, object]", written) if isinstance(written, dict) else {}
    address = urlsplit(str(fields.get("url", "")))
    path = Path(unquote(address.path))
    if address.scheme != "file" or not path.exists():
        return None
    folder = fields.get("dir_info")
    editable = isinstance(folder, dict) and cast("dict[str, object]", folder).get("editable") is True
    return Origin(path, editable)
