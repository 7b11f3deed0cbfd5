"""Reads ``homeostat.yaml``: all problems at once, each with file, line, key and remedy; nothing half-read.

Called by the command line before anything is started. The shape itself is ``homeostat.core.config``.
"""

import difflib
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from homeostat.core.config import Config
from homeostat.core.errors import ConfigError, ConfigProblem
from homeostat.core.settings import duration_text
from homeostat.regex import regex_problem

Location = Sequence[str | int]


RESOURCE_KINDS = ("flag", "process", "service")


class Surroundings(Protocol):
    """What is installed, and may therefore be named in a configuration."""

    def flags(self, file: Path | None) -> Sequence[str]:
        """Flags that can be switched, of a definitions file or built in. Raises ConfigError for a bad file."""
        ...

    def actions(self, config: Config) -> Sequence[str]:
        """Names of all actions."""
        ...


def load_config(path: Path, surroundings: Surroundings | None = None) -> Config:
    """Read and check a configuration file; with ``surroundings`` also the flags and actions that it names.

    Raises ConfigError with every problem found. Relative paths in the file are relative to the file.
    """
    document = _parse(path)
    if document is None:
        return Config()
    if not isinstance(document, CommentedMap):
        raise ConfigError(
            [_problem(path, 1, "(top)", "the file is not a mapping", "Write sections as `server:` and `heal:`")]
        )
    shape, problems = _shape(path, document)
    config = _relative_to(shape, path.parent)
    problems += _meaning(path, document, config, surroundings)
    if problems:
        raise ConfigError(problems)
    return config


def _shape(path: Path, document: CommentedMap) -> tuple[Config, list[ConfigProblem]]:
    """The configuration without what has the wrong shape, so that the rest can be checked all the same."""
    plain = cast("dict[str, object]", _plain(document))
    try:
        return Config.model_validate(plain), []
    except ValidationError as error:
        details = error.errors()
    problems = [_explain(path, document, detail) for detail in details]
    for detail in details:
        location = detail["loc"]
        # Thresholds are compared with each other: where one is unreadable, the default in its place proves nothing.
        _drop(plain, location[:2] if location[0] == "detect" else location)
    try:
        return Config.model_validate(plain), problems
    except ValidationError:
        sections = {detail["loc"][0] for detail in details}
        return Config.model_validate({key: value for key, value in plain.items() if key not in sections}), problems


def _drop(plain: dict[str, object], location: Location) -> None:
    """Take a value out; in a list all of the list, because the places of the others would change."""
    node: object = plain
    for part in location:
        if not isinstance(node, dict):
            return
        section = cast("dict[str | int, object]", node)
        inner = section.get(part)
        if part == location[-1] or not isinstance(inner, dict):
            section.pop(part, None)
            return
        node = cast("object", inner)


# -- what the keys mean together ----------------------------------------------------------------------------

_Complaint = tuple[Location, str, str]
"""Where, what, and the remedy."""


def _meaning(
    path: Path, document: CommentedMap, config: Config, surroundings: Surroundings | None
) -> list[ConfigProblem]:
    complaints = [*_limits(config), *_processes(config), *_hosts(config), *_masks(config)]
    foreign: list[ConfigProblem] = []
    if surroundings is not None:
        complaints += [*_commands(config), *_rules(config, surroundings.actions(config))]
        try:
            complaints += _initial_flags(config, surroundings.flags(config.flags.file))
        except ConfigError as error:
            unreadable = [problem for problem in error.problems if problem.key == "(file)"]
            complaints += [
                (("flags", "file"), f"{problem.file}: {problem.message}", problem.remedy) for problem in unreadable
            ]
            foreign = [problem for problem in error.problems if problem.key != "(file)"]
    return [
        _problem(path, _line(document, where), ".".join(map(str, where)), what, remedy)
        for where, what, remedy in complaints
    ] + foreign


def _limits(config: Config) -> Iterator[_Complaint]:
    errors, latency = config.detect.error_rate, config.detect.latency
    if errors.close_percent > errors.threshold_percent:
        what = f"{errors.close_percent:g} is above threshold_percent ({errors.threshold_percent:g})"
        remedy = f"An issue would close while it is bad: choose {errors.threshold_percent / 2:g}, for example"
        yield ("detect", "error_rate", "close_percent"), what, remedy
    if latency.close_ratio > latency.ratio:
        what = f"{latency.close_ratio:g} is above ratio ({latency.ratio:g})"
        remedy = "An issue would close while it is bad: choose a number between 1 and ratio"
        yield ("detect", "latency", "close_ratio"), what, remedy


def _processes(config: Config) -> Iterator[_Complaint]:
    names = [process.name for process in config.watch.processes]
    for place, name in enumerate(names):
        if name in names[:place]:
            what = f"{name!r} is the name of another process as well"
            yield ("watch", "processes", place, "name"), what, "Give each process a name of its own"


def _commands(config: Config) -> Iterator[_Complaint]:
    """A restart command that cannot be found would first be missed in an incident."""
    for place, process in enumerate(config.watch.processes):
        command = process.restart.command if process.restart else None
        if command and shutil.which(command[0]) is None:
            where = ("watch", "processes", place, "restart", "command")
            yield where, f"there is no program {command[0]!r} to run", "Write its full path, or install it"
        elif command == ():
            where = ("watch", "processes", place, "restart", "command")
            yield where, "the command is empty", "Write it as a list of words, as [systemctl, restart, payment]"


def _hosts(config: Config) -> Iterator[_Complaint]:
    hosts = {"server": config.server.host}
    receivers = config.receivers
    if any(getattr(receivers, name) is not None for name in type(receivers).model_fields if name.endswith("_port")):
        hosts["receivers"] = config.receivers.host
    for section, host in hosts.items():
        try:
            socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, ValueError) as error:  # ValueError: a name that cannot even be asked for
            reason = error.strerror if isinstance(error, OSError) else "it is no host name"
            what = f"{host!r} cannot be resolved ({reason})"
            yield (section, "host"), what, "Use an address of this machine, such as 127.0.0.1"


def _masks(config: Config) -> Iterator[_Complaint]:
    """Expressions that cannot be used would first be missed when somebody asks for patterns."""
    for place, mask in enumerate(config.logs.masks):
        problem = regex_problem(mask.regex)
        if problem is not None:
            what = f"{mask.regex!r} {problem}"
            yield (
                ("logs", "masks", place, "regex"),
                what,
                "Write it in RE2's syntax, and so that it matches something",
            )


def _rules(config: Config, actions: Sequence[str]) -> Iterator[_Complaint]:
    for place, rule in enumerate(config.heal.rules):
        if not any(fnmatchcase(action, rule.action) for action in actions):
            where = ("heal", "rules", place, "action")
            yield where, f"no action is named {rule.action!r}", _which(rule.action, actions)
        kind = rule.resource.partition(":")[0]
        if ":" in rule.resource and not any(fnmatchcase(known, kind) for known in RESOURCE_KINDS):
            where = ("heal", "rules", place, "resource")
            yield where, f"there is no kind of resource {kind!r}", _which(kind, RESOURCE_KINDS)


def _initial_flags(config: Config, flags: Sequence[str]) -> Iterator[_Complaint]:
    for flag in config.flags.initial:
        if flag not in flags:
            yield ("flags", "initial", flag), "there is no such flag to switch", _which(flag, flags)


def _which(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean `{close[0]}`?" if close else f"Known here: {', '.join(known) or 'none'}"


# -- the file -----------------------------------------------------------------------------------------------


def _parse(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigError([_problem(path, 0, "(file)", reason, "Name a file that exists and can be read")]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([_problem(path, line, "(file)", "not UTF-8 text", "Save the file as UTF-8")]) from error
    try:
        return cast("object", YAML(typ="rt").load(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problem = str(error.problem or "not valid YAML").strip().splitlines()[0]
        remedy = "Check the indentation and the quotes around this line"
        raise ConfigError([_problem(path, line, "(syntax)", problem, remedy)]) from error
    except YAMLError as error:
        first_line = str(error).strip().splitlines()[0]
        raise ConfigError([_problem(path, 0, "(syntax)", first_line, "The file must be valid YAML")]) from error


def _problem(path: Path, line: int, key: str, message: str, remedy: str) -> ConfigProblem:
    return ConfigProblem(file=str(path), line=line, key=key, message=message, remedy=remedy)


def _plain(node: object) -> object:
    """The YAML document without its line marks."""
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, str):
        return str(node)  # ruamel's scalar strings are subclasses that remember their quotes
    return node


def _explain(path: Path, document: CommentedMap, detail: ErrorDetails) -> ConfigProblem:
    location = [part for part in detail["loc"] if not _is_marker(part)]
    key = ".".join(str(part) for part in location) or "(top)"
    if detail["type"] == "extra_forbidden":
        return _problem(path, _line(document, location), key, "unknown key", _suggest(location))
    given = detail["input"]
    message = _without_userinfo_of(given, detail["msg"].removeprefix("Value error, "))
    is_told = not isinstance(given, dict | list) and detail["type"] != "missing" and not _SECRETS & set(location)
    shown = f" (it says {_without_secrets(repr(given))})" if is_told else ""
    return _problem(
        path, _line(document, location), key, f"{message[:1].lower()}{message[1:]}{shown}", _remedy(location)
    )


_SECRETS = frozenset[str | int]({"password"})
_USERINFO = re.compile(r"""^(['"](?:[a-zA-Z][a-zA-Z0-9+.-]*://)?).*@""")
"""Of an address, which may hold a password: all up to the last @, as people forget schemes and write an @ in it."""

_SECRET_QUERY = re.compile(r"""(?i)((?:password|passwd|pwd|secret|token|api_?key)=)[^&\s'"]+""")


def _without_secrets(shown: str) -> str:
    return _SECRET_QUERY.sub(r"\1...", _USERINFO.sub(r"\1...@", shown))


def _without_userinfo_of(given: object, message: str) -> str:
    """Some errors of Python's quote a part of the address."""
    userinfo = given.rpartition("@")[0].rpartition("//")[2] if isinstance(given, str) else ""
    return message.replace(f"{userinfo}@", "...@") if userinfo else message


def _is_marker(part: str | int) -> bool:
    """Pydantic puts validator names such as ``function-before[...]`` into locations."""
    return isinstance(part, str) and "[" in part


def _line(document: CommentedMap, location: Location) -> int:
    """The line of the deepest part of the location that is in the file."""
    node: object = document
    line = 1
    for part in location:
        if isinstance(node, CommentedMap) and part in node:
            line = int(node.lc.key(part)[0]) + 1
            node = cast("object", node[part])
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line = int(node.lc.item(part)[0]) + 1
            node = cast("object", node[part])
        else:
            break
    return line


def _section(location: Location) -> type[BaseModel] | None:
    """The model that the last part of the location is a key of."""
    model: type[BaseModel] = Config
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        if field is None:
            return None
        found = _model_in(field.annotation)
        if found is None:
            return None
        model = found
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in cast("tuple[object, ...]", getattr(annotation, "__args__", ())):
        if (found := _model_in(inner)) is not None:
            return found
    return None


_TAIL_SAMPLING = "What stands under `processors.tail_sampling` of an OpenTelemetry Collector belongs under `sampling`"
_COLLECTORS: dict[tuple[str, ...], str] = {
    ("processors",): f"{_TAIL_SAMPLING}; remove the rest",
    ("tail_sampling",): _TAIL_SAMPLING,
    ("sampling", "tail_sampling"): f"{_TAIL_SAMPLING} itself",
    ("sampling", "processors"): f"{_TAIL_SAMPLING} itself",
    **{
        (key,): "It is a section of the OpenTelemetry Collector's and means nothing here: remove it"
        for key in ("connectors", "exporters", "extensions", "service")
    },
}
"""Who brings a whole file of the Collector's is told what of it can be used."""


def _suggest(location: Location) -> str:
    if (collectors := _COLLECTORS.get(tuple(map(str, location)))) is not None:
        return collectors
    section = _section(location)
    if section is None:
        return "Remove it"
    known = sorted(section.model_fields)
    return _which(str(location[-1]), known)


def _remedy(location: Location) -> str:
    section = _section(location)
    field = section.model_fields.get(str(location[-1])) if section and location else None
    if field is None or field.is_required():
        return "See docs/configuration.md"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) or default is None:
        return "See docs/configuration.md"
    shown = duration_text(default) if isinstance(default, timedelta) else default
    return f"The default is {shown}; see docs/configuration.md"


def _relative_to(config: Config, folder: Path) -> Config:
    """A path in the file means the same whatever directory the command is started in."""
    processes = tuple(
        process.model_copy(update={"pid_file": folder / process.pid_file}) for process in config.watch.processes
    )
    nginx = tuple(each.model_copy(update={"access_log": folder / each.access_log}) for each in config.watch.nginx)
    flags_file = folder / config.flags.file if config.flags.file else None
    return config.model_copy(
        update={
            "storage": config.storage.model_copy(update={"path": folder / config.storage.path}),
            "watch": config.watch.model_copy(update={"processes": processes, "nginx": nginx}),
            "flags": config.flags.model_copy(update={"file": flags_file}),
            "slo": config.slo.model_copy(update={"files": tuple(folder / file for file in config.slo.files)}),
        }
    )
