"""Segments that can't be read are set aside under another name, never deleted: what failed may be the moment.

Used by ``catalogue`` at the start, which also takes back what can be read again, and by ``store`` when it compacts.
"""

import errno
import re
from pathlib import Path
from typing import Final

from homeostat.core.errors import StoreCorruptError
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.layout import PARQUET_SUFFIX

UNREADABLE_SUFFIX: Final = ".unreadable"
_NAME: Final = re.compile(r"(\d+)-(\d+)")
_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR})


def is_passing(error: BaseException | None) -> bool:
    """Whether an error (or what caused it) says nothing about the file: the process has too much open, say."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _PASSING:
            return True
        error = error.__cause__
    return False


def parse_name(name: str) -> tuple[int, int] | None:
    """Number and last sequence number of ``<number>-<last sequence number>``; None when it is no such name."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def set_aside(directory: Path, name: str) -> None:
    """Rename a segment's Parquet file so that nothing takes it for a segment. Raises OSError; then it is as it was.

    The index stays where it is: it can be made anew.
    """
    path = directory / f"{name}{PARQUET_SUFFIX}"
    path.rename(directory / f"{path.name}{UNREADABLE_SUFFIX}")
    disk.sync_directory(directory)


def take_back(directory: Path, name: str) -> None:
    """The opposite of ``set_aside``."""
    path = directory / f"{name}{PARQUET_SUFFIX}"
    (directory / f"{path.name}{UNREADABLE_SUFFIX}").rename(path)
    disk.sync_directory(directory)


def names_aside(directory: Path) -> list[str]:
    """Names of the segments that are set aside, sorted."""
    suffix = f"{PARQUET_SUFFIX}{UNREADABLE_SUFFIX}"
    return sorted(path.name.removesuffix(suffix) for path in directory.glob(f"*{suffix}"))


def report(directory: Path, name: str, why: object) -> StoreCorruptError:
    """What is told of a segment that is set aside."""
    path = directory / f"{name}{PARQUET_SUFFIX}{UNREADABLE_SUFFIX}"
    return StoreCorruptError(
        f"Segment {name} can't be read ({why}). It is left out and kept as {path}; the next start tries it again. "
        "Check the disk."
    )
