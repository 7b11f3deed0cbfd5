"""What a command line says about the program it runs: scripts, modules and applications by name. For ``launch``.

The value of an option is no such name, but that of ``--app``. Whether an option has a value is known of none but the
servers' and Python's own switches below; of any other, what stands behind it is taken for its value.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_PYTHON: Final = re.compile(r"(python|pypy)[\d.]*(\.exe)?")
_AS_MODULE: Final = re.compile(r"-[bBdEiIOPqsSuvx]*m")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_APPLICATION: Final = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*(\(.*\))?")
_APP_OPTIONS: Final = {"--app", "-A"}
_RUNNERS: Final = {"celery", "daphne", "fastapi", "flask", "granian", "gunicorn", "hypercorn", "uvicorn"}
"""Modules that run what the rest of the command names."""

_SWITCHES: Final = {
    "--access-log",
    "--capture-output",
    "--check-config",
    "--daemon",
    "--date-header",
    "--debug",
    "--enable-stdio-inheritance",
    "--factory",
    "--preload",
    "--print-config",
    "--proxy-headers",
    "--reload",
    "--reuse-port",
    "--server-header",
    "--use-colors",
    "--verbose",
    "-D",
    "-R",
}
"""Options of the servers that have no value; so have those that begin with ``--no-``."""

_VALUED_BY_PYTHON: Final = {"-W", "-X", "--check-hash-based-pycs"}


def words_of(command: Sequence[str]) -> list[str]:
    """Names of the script, module or application in a command, the likeliest first."""
    words: list[str] = []
    rest = list(command)
    for index, argument in enumerate(command):
        if _PYTHON.fullmatch(Path(argument).name):
            words, rest = _run_by_python(command[index + 1 :])
            break
    return words + _run_by_server(rest)


def _run_by_python(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What Python runs, and the arguments of that."""
    left = iter(arguments)
    for argument in left:
        if argument == "-c":
            return [], []
        if _AS_MODULE.fullmatch(argument):
            module = next(left, "")
            known = module in _RUNNERS or not _MODULE.fullmatch(module)
            return [] if known else [module.split(".")[0]], list(left)
        if argument in _VALUED_BY_PYTHON:
            next(left, None)
        elif not argument.startswith("-"):
            return [Path(argument).stem] if argument.endswith(".py") else [], list(left)
    return [], []


def _run_by_server(arguments: Sequence[str]) -> list[str]:
    applications: list[str] = []
    scripts: list[str] = []
    for option, value in _options(arguments):
        if option in _APP_OPTIONS:
            return [_module_in(value)]
        if option:
            continue
        if value.endswith(".py"):
            scripts.append(Path(value).stem)
        elif _APPLICATION.fullmatch(value):
            applications.append(_module_in(value))
    return applications[::-1] + scripts


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options with their values; positional arguments as values of no option."""
    waiting = ""
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if argument == "--":
            waiting = ""
        elif not argument.startswith("-"):
            yield waiting, argument
            waiting = ""
        elif equals:
            yield option, value
            waiting = ""
        else:
            waiting = "" if option in _SWITCHES or option.startswith("--no-") else option


def _module_in(application: str) -> str:
    """``shop`` in ``shop``, ``shop.wsgi:app``, ``src/shop.py`` and ``src/shop.py:app``."""
    module = application.partition(":")[0]
    return Path(module).stem if module.endswith(".py") or "/" in module else module.split(".")[0]
