"""The OpenSLO files that the configuration names. Read by ``book`` at the start."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from homeostat.core.errors import ConfigError, ConfigProblem
from homeostat.core.slo import Slo
from homeostat.observe.slo.openslo_nodes import TEXT_BYTES_MAX
from homeostat.observe.slo.openslo_read import read_with_notes

log = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")


def read_paths(paths: Sequence[Path], now: datetime) -> list[Slo]:
    """The objectives of all files, and of all files in the directories. Raises ConfigError with every problem."""
    problems: list[ConfigProblem] = []
    found: dict[str, tuple[Slo, Path]] = {}
    for path in _files(paths, problems):
        try:
            read = read_with_notes(_text(path), str(path), now)
        except ConfigError as error:
            problems += error.problems
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            problems.append(
                ConfigProblem(str(path), 0, "(file)", reason, "Name a readable OpenSLO file in slo.files")
            )
            continue
        for note in read.notes:
            log.warning("%s", note)
        for slo in read.slos:
            if slo.id in found:
                what = f"{slo.name!r} is also in {found[slo.id][1]}"
                problems.append(ConfigProblem(str(path), 0, "metadata.name", what, "Keep one of them"))
            found[slo.id] = slo, path
    if problems:
        raise ConfigError(problems)
    return [slo for slo, _ in found.values()]


def _text(path: Path) -> str:
    """Enough of it to see that it is too large. Raises OSError or UnicodeDecodeError."""
    with path.open("rb") as file:
        read = file.read(TEXT_BYTES_MAX + 1)
    return read.decode(errors="strict" if len(read) <= TEXT_BYTES_MAX else "replace")  # cut off within a character


def _files(paths: Sequence[Path], problems: list[ConfigProblem]) -> Iterator[Path]:
    for path in paths:
        try:
            if not path.is_dir():
                yield path
                continue
            inside = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES and one.is_file())
        except OSError as error:
            reason, remedy = error.strerror or "it cannot be read", "Let Homeostat's user read it and what is in it"
            problems.append(ConfigProblem(str(path), 0, "(directory)", reason, remedy))
            continue
        if not inside:
            remedy = f"Put files that end in {', '.join(SUFFIXES)} there, or leave it out of slo.files"
            problems.append(ConfigProblem(str(path), 0, "(directory)", "there is no OpenSLO file in it", remedy))
        yield from inside
