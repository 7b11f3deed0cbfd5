"""Small durable steps on the file system, and how much room is left. Used by log, segments and catalogue."""

import errno
import os
from pathlib import Path
from typing import Final

FILE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What a catalogue may name: a file of its own directory, and nothing outside."""

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a write says when there is no room: disk, quota, or the process's own limit on the size of a file."""


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable (a file's own fsync does not)."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the contents of a closed file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, final: Path) -> None:
    """Give a finished file its name, in one step that survives a crash."""
    sync_file(temporary)
    temporary.replace(final)
    sync_directory(final.parent)


def free_bytes(directory: Path) -> int:
    """What an ordinary process may still write there."""
    stats = os.statvfs(directory)
    return stats.f_bavail * stats.f_frsize


def used_bytes(directory: Path) -> int:
    """Size of all files in a directory (not of its subdirectories)."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                if entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # retention or compaction was quicker
    return total
