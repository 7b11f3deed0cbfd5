"""New whole lines of a file that grows, is rotated and truncated. Used by ``sensors``."""

import os
from pathlib import Path
from typing import BinaryIO, Final

READ_BYTES_MAX: Final = 4 << 20  # of one look; the rest is read at the next
LINE_BYTES_MAX: Final = 64 << 10


class Tail:
    """Starts at the end of what is there at the first look. ``read`` raises OSError while there is no file.

    After ``close`` it goes on where it was, if the file is still the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._rest = b""
        self._place: tuple[int, int, int] | None = None  # inode, device and offset, from `close` on
        self._from_start = False  # the file may come later: then all of it is new
        self.cut = 0  # lines that were longer than LINE_BYTES_MAX, left out

    def close(self) -> None:
        """Let go of the file, and keep the place in it: whoever closes may only begin anew after a surprise."""
        if self._file is not None:
            status = os.fstat(self._file.fileno())
            self._place = status.st_ino, status.st_dev, self._file.tell()
            self._file.close()
            self._file = None

    def read(self) -> list[tuple[str, bytes]]:
        """Whole lines since the last look, each with what it is known by: inode and offset."""
        if self._file is None:
            self._open()
        lines = self._lines()
        if self._replaced():  # what was written to the old file before it was renamed has been read above
            self.close()
            self._open()
            lines += self._lines()
        return lines

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._from_start = True
            raise
        status = os.fstat(self._file.fileno())
        if self._place is not None and self._place[:2] == (status.st_ino, status.st_dev):
            self._file.seek(self._place[2])  # where it was truncated meanwhile, `_lines` sees that
        elif not self._from_start:
            self._file.seek(0, os.SEEK_END)
        else:
            self._rest = b""  # of another file
        self._from_start = True

    def _replaced(self) -> bool:
        """Whether the name means another file by now and the old one is read to its end."""
        assert self._file is not None
        mine = os.fstat(self._file.fileno())
        if self._file.tell() < mine.st_size:
            return False
        try:
            present = self._path.stat()
        except FileNotFoundError:
            return False  # between two steps of a rotation
        return (present.st_ino, present.st_dev) != (mine.st_ino, mine.st_dev)

    def _lines(self) -> list[tuple[str, bytes]]:
        assert self._file is not None
        status = os.fstat(self._file.fileno())
        if status.st_size < self._file.tell():  # truncated in place
            self._file.seek(0)
            self._rest = b""
        offset = self._file.tell() - len(self._rest)
        *whole, self._rest = (self._rest + self._file.read(READ_BYTES_MAX)).split(b"\n")
        found: list[tuple[str, bytes]] = []
        for line in whole:
            if len(line) <= LINE_BYTES_MAX:
                found.append((f"{status.st_ino} {offset}", line))
            else:
                self.cut += 1
            offset += len(line) + 1
        if len(self._rest) > LINE_BYTES_MAX:  # keep its beginning's length: it is left out when it ends
            self._rest = self._rest[: LINE_BYTES_MAX + 1]
        return found
