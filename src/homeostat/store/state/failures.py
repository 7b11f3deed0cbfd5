"""Turns what SQLite complains of into our errors, with what to do about it. Used by everything in this package."""

import sqlite3
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from homeostat.core.errors import StoreCorruptError, StoreError, StoreFullError

# SQLite names its extended codes by a suffix (SQLITE_CORRUPT_INDEX): the beginning tells.
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_UNREACHABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
_HELD = ("SQLITE_BUSY", "SQLITE_LOCKED")


def corrupt(path: Path, detail: str) -> StoreCorruptError:
    """The file cannot be read back. Nothing of it has been changed."""
    return StoreCorruptError(
        f"{path} cannot be read as the control state of Homeostat ({detail}). Nothing in it was changed. "
        f"Restore it from a backup, or move {path.name}, {path.name}-wal and {path.name}-shm out of "
        f"{path.parent} and start again with an empty state."
    )


def translate(error: SQLAlchemyError | sqlite3.Error, path: Path) -> StoreError:
    """Our error for a failed statement on the database at ``path``."""
    cause = getattr(error, "orig", None) or error
    name = str(getattr(cause, "sqlite_errorname", "") or type(cause).__name__)
    if name.startswith("SQLITE_FULL"):
        return StoreFullError(
            f"No room left to write the control state to {path}. Make room on its disk; what was acknowledged is "
            "safe, and writing goes on by itself."
        )
    if name.startswith(_CORRUPT):
        return corrupt(path, str(cause))
    if name.startswith(_UNREACHABLE):
        return StoreError(
            f"{path} cannot be opened for writing ({cause}). Check that its folder exists, belongs to the user that "
            "runs Homeostat and is on a disk mounted for writing."
        )
    if name.startswith(_HELD):
        return StoreError(f"{path} is locked by another process ({cause}). Stop the other one, or use another path.")
    return StoreError(f"The control state at {path} refused a statement: {cause} ({name}).")
