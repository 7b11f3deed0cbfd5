"""One Homeostat per data directory: taken by ``server`` while it runs, and by commands that change files."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from homeostat.core.errors import StoreError

LOCK_FILE: Final = "homeostat.lock"


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the directory; it is made where it is missing. Raises StoreError naming the holder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK_FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The data directory {folder} cannot be used: {error.strerror}. Set storage.path to a writable one."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise StoreError(
                f"Another Homeostat (pid {holder}) uses {folder}. Stop it, or set storage.path to another directory."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
