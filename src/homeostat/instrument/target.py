"""Which Python will run a command, and what is installed there. Used by ``launch`` and ``doctor``."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name
from pydantic import ValidationError

from homeostat.core.errors import BadRequestError
from homeostat.core.models import Model

_ASK_WITHIN_S: Final = 30.0
_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*")
_SHEBANG_BYTES_MAX: Final = 4096


class Target(Model):
    """A Python environment."""

    python: str = ""  # path of its interpreter
    implementation: str
    version: tuple[int, int, int]
    prefix: str
    packages: dict[str, str]  # canonical name to version

    @property
    def version_text(self) -> str:
        """E.g. ``3.11.7``."""
        return ".".join(str(part) for part in self.version)

    @property
    def is_ours(self) -> bool:
        """Whether Homeostat itself runs in it."""
        return self.prefix == sys.prefix

    def install(self, packages: Sequence[str]) -> str:
        """The command that brings packages into it."""
        return f"{self.python} -m pip install {' '.join(packages)}"


def interpreter_of(command: Sequence[str]) -> str:
    """The path of the interpreter that will run a command. Raises BadRequestError when it is no Python program."""
    if not command:
        return sys.executable
    found = shutil.which(command[0])
    if found is None:
        raise BadRequestError(
            f"There is no command {command[0]!r} on the PATH. Write the command as you do without us."
        )
    if _PYTHON.fullmatch(Path(found).name):
        return found
    words = _shebang(Path(found))
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if not words or not _PYTHON.fullmatch(Path(words[0]).name):
        raise BadRequestError(
            f"{found} is no Python program (its first line names no Python). Put the Python command behind `--`, "
            "e.g. `homeostat instrument -- python app.py`; a shell script can call homeostat instrument inside."
        )
    python = shutil.which(words[0])
    if python is None:
        raise BadRequestError(f"{found} wants {words[0]}, which is not there. Install the program again.")
    return python


def _shebang(path: Path) -> list[str]:
    with path.open("rb") as file:
        start = file.read(_SHEBANG_BYTES_MAX)
    if not start.startswith(b"#!"):
        return []
    line = start[2:].split(b"\n", 1)[0].decode(errors="replace").split()
    if line[:1] == ["/bin/sh"]:  # pip's and uv's launcher for long paths: the second line is '''exec' "python" ...
        match = re.search(rb"""exec'? "?([^"\s]+)"?""", start)
        return [match[1].decode(errors="replace")] if match else line
    return line


def look(python: str) -> Target:
    """Ask an interpreter for its environment. Raises BadRequestError when it does not answer."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("HOMEOSTAT_INSTRUMENT")}
    script = Path(__file__).with_name("ask_target.py")
    try:
        asked = subprocess.run(
            [python, str(script)], capture_output=True, text=True, timeout=_ASK_WITHIN_S, check=True, env=environ
        )
        answer = json.loads(asked.stdout)
        named = {canonicalize_name(name): version for name, version in answer["packages"].items()}
        return Target.model_validate(answer | {"python": python, "packages": named})
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError, ValidationError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise BadRequestError(
            f"{python} does not say what is installed there ({detail.strip()[-300:]}). It must be Python 3.8 or "
            "newer and start without errors."
        ) from error
