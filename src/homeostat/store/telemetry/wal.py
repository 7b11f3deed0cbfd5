"""The write-ahead log: request bytes are on disk before the sender is told that they were accepted.

One thread (``observe.intake``) appends, groups of requests at a time with one fsync each; another may ``discard``
what has reached a segment. Sequence numbers go up by one for each request and never repeat, so that a segment can say
up to which one it holds everything, and a replay never stores a request twice.
"""

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homeostat.core.errors import StoreCorruptError, StoreError, StoreFullError
from homeostat.store.telemetry import disk
from homeostat.store.telemetry.wal_format import Damage, Record, encode, scan

logger = logging.getLogger(__name__)

_SUFFIX: Final = ".wal"
_PIECES_MAX: Final = 512  # of one writev; the kernel takes 1024
_FILE_BYTES_MAX: Final = 64 << 20  # also what a restart reads into memory at once


@dataclass(slots=True)
class _File:
    """One file of the log. ``last_seq`` is None while it is empty or has not been read."""

    path: Path
    first_seq: int
    last_seq: int | None = None


class WriteAheadLog:
    """Files ``<first sequence number>.wal`` in one directory.

    ``after_seq`` is the checkpoint: everything up to it is in segments already. What is older than ``replay_from``
    (default: what is not behind the checkpoint) is neither replayed nor kept.
    """

    def __init__(
        self, directory: Path, *, after_seq: int, min_free_bytes: int, replay_from: int | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._min_free_bytes = min_free_bytes
        self._replay_from = after_seq + 1 if replay_from is None else replay_from
        self._next_seq = after_seq + 1
        self._lock = threading.Lock()  # guards _closed and _active, which discard() reads from another thread
        self._closed: list[_File] = sorted(
            (_File(path, int(path.stem)) for path in directory.glob(f"*{_SUFFIX}")), key=lambda file: file.first_seq
        )
        self._active: _File | None = None
        self._descriptor: int | None = None
        self._good_bytes = 0  # of the active file: what has been written and synced
        self.problems: list[StoreCorruptError] = []

    @property
    def last_seq(self) -> int:
        """The newest sequence number that was given out."""
        return self._next_seq - 1

    def replay(self) -> Iterator[Record]:
        """Every record from ``replay_from`` on, in order. To be read to its end once, before the first append.

        A torn record at the very end is what a crash leaves of a request that was never acknowledged. Damage
        elsewhere is added to ``problems``, and reading goes on behind it.
        """
        expected = self._replay_from
        for number, file in enumerate(self._closed):
            is_last = number == len(self._closed) - 1
            for record in self._read(file, is_last):
                file.last_seq = record.seq
                if record.seq >= expected:
                    expected = record.seq + 1
                    yield record
            if file.last_seq is None:
                file.last_seq = file.first_seq - 1
        # Beyond the name of every file, also of one that holds nothing whole: its name must not be used again.
        self._next_seq = max([self._next_seq, expected, *(file.first_seq + 1 for file in self._closed)])
        self.discard(self._replay_from - 1)

    def _read(self, file: _File, is_last: bool) -> Iterator[Record]:
        try:
            data = file.path.read_bytes()
        except OSError as error:
            self._report(f"{file.path} can't be read ({error}); the requests in it are lost, all others were kept.")
            return
        for end, found in scan(data):
            if isinstance(found, Record):
                yield found
            elif is_last and end == len(data):
                logger.info("%s ends in a torn record of %d bytes, never acknowledged", file.path, end - found.start)
            else:
                self._report(_describe(file.path, found))

    def _report(self, message: str) -> None:
        logger.error("%s", message)
        self.problems.append(StoreCorruptError(message))

    def append(self, payloads: Sequence[bytes], kind: int) -> int:
        """Write the payloads and wait until they are durable; returns the sequence number of the last.

        Raises StoreFullError when there is no room and StoreError when the disk fails. Nothing of the payloads is
        kept then, and the next append tries anew.
        """
        pieces: list[bytes] = []
        for number, payload in enumerate(payloads):
            pieces += encode(self._next_seq + number, kind, payload)
        size = sum(map(len, pieces))
        self._check_room(size)
        try:
            self._write(pieces, size)
        except OSError as error:
            self._roll_back()
            self._next_seq += len(payloads)  # never used again, should they come back in a replay after all
            if error.errno in disk.NO_ROOM:
                raise StoreFullError(f"No room to write {self._directory}: {error.strerror}. Make room.") from error
            raise StoreError(f"The write-ahead log {self._directory} can't be written: {error}.") from error
        self._next_seq += len(payloads)
        if self._active is not None:
            self._active.last_seq = self.last_seq
        if self._good_bytes >= _FILE_BYTES_MAX:
            self.rotate()
        return self.last_seq

    def _check_room(self, needed: int) -> None:
        free = disk.free_bytes(self._directory)
        if free - needed < self._min_free_bytes:
            raise StoreFullError(
                f"{free >> 20} MiB are free at {self._directory}, and storage.min_free_mib asks for "
                f"{self._min_free_bytes >> 20} to be left. Make room; nothing acknowledged is lost."
            )

    def _write(self, pieces: list[bytes], size: int) -> None:
        descriptor = self._descriptor if self._descriptor is not None else self._open()
        for start in range(0, len(pieces), _PIECES_MAX):
            group = pieces[start : start + _PIECES_MAX]
            written = os.writev(descriptor, group)
            if written < sum(map(len, group)):
                rest = memoryview(b"".join(group))[written:]  # rare: the disk is nearly full, or a signal came
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
        os.fdatasync(descriptor)
        self._good_bytes += size

    def _open(self) -> int:
        path = self._directory / f"{self._next_seq:020d}{_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o640)
        with self._lock:
            self._descriptor, self._good_bytes = descriptor, 0
            self._active = _File(path, self._next_seq)
        disk.sync_directory(self._directory)
        return descriptor

    def _roll_back(self) -> None:
        """After a failed write: cut off what is not acknowledged and start a new file.

        A new file, because after a failed fsync the kernel may have dropped the pages of this one.
        """
        if self._descriptor is None:
            return
        try:
            os.ftruncate(self._descriptor, self._good_bytes)
        except OSError as error:
            logger.warning("The log's unacknowledged end can't be cut off (%s); a replay may bring it back.", error)
        self.rotate()

    def rotate(self) -> None:
        """Close the active file, so that all of it can be discarded one day. The next append starts a new one."""
        if self._descriptor is None or self._active is None:
            return
        os.close(self._descriptor)
        with self._lock:
            if self._good_bytes:
                self._closed.append(self._active)
            else:
                self._active.path.unlink(missing_ok=True)
            self._active, self._descriptor, self._good_bytes = None, None, 0

    def discard(self, upto_seq: int) -> None:
        """Delete the closed files that hold nothing newer. Called when a segment with all of it is durable."""
        with self._lock:
            done = [file for file in self._closed if file.last_seq is not None and file.last_seq <= upto_seq]
            self._closed = [file for file in self._closed if file not in done]
        for file in done:
            file.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the active file. What was appended is durable already."""
        self.rotate()


def _describe(path: Path, damage: Damage) -> str:
    return (
        f"{path} is damaged from byte {damage.start} to {damage.end}: what was acknowledged there is lost, "
        "everything before and behind it was kept. Check the disk."
    )
