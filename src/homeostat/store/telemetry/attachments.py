"""Files that belong to a checkpoint: what somebody must remember of the requests before it. Named by ``catalogue``.

Tail sampling keeps its decisions so ("state": the newest replaces the one before), persisted rollups their deltas
("rollup": they add up until they are merged). They are written just before the catalogue names them, together with
the checkpoint they belong to: after a crash either all of it counts or nothing.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field

from homeostat.core.errors import StoreCorruptError
from homeostat.core.models import Model
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.disk import FILE_NAME

logger = logging.getLogger(__name__)

ROLE_STATE: Final = "state"
ROLE_ROLLUP: Final = "rollup"
UNNAMED_SUFFIX: Final = ".unnamed"


class Attachment(Model):
    """One file in the lane's directory of attachments. ``name`` is unique for ever: put a sequence number into it."""

    name: str = Field(pattern=FILE_NAME)
    role: str  # state: replaces what has the role so far; rollup: is added to it


Write = Callable[[Path], Sequence[Attachment]]
"""Write files into the directory, durably (``write_durably``), and say what they are. May be called again when it, or
what followed, failed; raises OSError."""


@dataclass(frozen=True, slots=True)
class SealExtras:
    """What goes with a checkpoint. Asked for in the intake thread, written in the flush thread."""

    replay_from: int  # the oldest request that is still needed after a restart; at most the checkpoint + 1
    write: Write


OnSeal = Callable[[int], SealExtras | None]
"""Asked, with the last sequence number, when a part of the log is to become a checkpoint."""


def write_durably(path: Path, content: bytes) -> None:
    """A whole file in one step that survives a crash. Raises OSError; then there is nothing under the name."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        disk.publish(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def succeed(present: Sequence[Attachment], added: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """The attachments of the next checkpoint. A role "state" has room for those of one checkpoint only."""
    names = {attachment.name for attachment in added}
    replaced = {attachment.role for attachment in added} - {ROLE_ROLLUP}
    kept = [attachment for attachment in present if attachment.role not in replaced and attachment.name not in names]
    return (*kept, *added)


def delete_unnamed(directory: Path, named: Sequence[Attachment]) -> None:
    """At the start: what no catalogue names is left from a crash."""
    known = {attachment.name for attachment in named}
    for path in directory.iterdir():
        if path.name not in known and path.suffix != UNNAMED_SUFFIX:
            logger.info("%s belongs to no checkpoint and is deleted", path)
            path.unlink(missing_ok=True)


def keep_unnamed(directory: Path) -> list[StoreCorruptError]:
    """Without a catalogue nobody knows what the files count for: they are kept under another name, and reported."""
    problems: list[StoreCorruptError] = []
    for path in sorted(directory.iterdir()):
        if path.suffix in {UNNAMED_SUFFIX, ".tmp"}:
            continue
        kept = path.with_name(f"{path.name}{UNNAMED_SUFFIX}")
        path.rename(kept)
        problems.append(
            StoreCorruptError(f"The catalogue that named {path.name} is lost: what it holds is left out. See {kept}.")
        )
    return problems


def gone(directory: Path, named: Sequence[Attachment]) -> list[StoreCorruptError]:
    """A report for each attachment whose file is missing."""
    return [
        StoreCorruptError(f"{attachment.name} ({attachment.role}) is gone from {directory}: what it held is lost.")
        for attachment in named
        if not (directory / attachment.name).exists()
    ]
