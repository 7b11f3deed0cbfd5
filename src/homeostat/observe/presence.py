"""When Homeostat was there to count, across restarts: silence is only known where somebody listened.

One small JSON file: stretches ``[from, to]`` in Unix seconds, the last of them open. That it is still open is told by
the file's modification time, which ``beat`` moves on every few seconds; a kill leaves it where it was. Called by
``observe.rollups``.
"""

import logging
import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from homeostat.core.models import Model
from homeostat.core.ports import Clock

logger = logging.getLogger(__name__)

_BEAT_S: Final = 5
_STRETCHES_MAX: Final = 10_000  # beyond, the oldest are forgotten: what is unknown then stays unknown


class _Stretches(Model):
    """What the file holds. The last stretch has no end while Homeostat runs."""

    stretches: tuple[tuple[int, int | None], ...] = ()


class Presence:
    """The file, opened by one process. A file system that fails costs knowledge, not the start."""

    def __init__(self, path: Path, clock: Clock, kept_s: int) -> None:
        self._path = path
        self._clock = clock
        self._kept_s = kept_s
        self._past = self._load()
        self._since_s: int | None = None
        self._beaten_s = 0

    def _load(self) -> tuple[tuple[int, int], ...]:
        try:
            written = self._path.read_bytes()
            alive_s = int(self._path.stat().st_mtime)
        except FileNotFoundError:
            return ()
        except OSError as error:
            logger.warning("%s can't be read: when Homeostat was running before is unknown (%s)", self._path, error)
            return ()
        try:
            found = _Stretches.model_validate_json(written).stretches
        except ValidationError as error:
            logger.warning("%s can't be read: when Homeostat was running before is unknown (%s)", self._path, error)
            return ()
        now_s = self._now_s()
        ends = [(since, min(alive_s if to is None else to, now_s)) for since, to in found]
        return tuple((since, to) for since, to in ends if since <= to)

    def _now_s(self) -> int:
        return int(self._clock.now().timestamp())

    @property
    def past(self) -> tuple[tuple[int, int], ...]:
        """The stretches before this start, oldest first."""
        return self._past

    def forget(self) -> None:
        """What was counted before is lost: that somebody was there means nothing."""
        self._past = ()

    def begin(self, at_s: int, alive_until_s: int | None = None) -> None:
        """Present from this second on. ``alive_until_s``: the last time before was at least so long."""
        if self._past and alive_until_s is not None:
            since, to = self._past[-1]
            self._past = (*self._past[:-1], (since, min(max(to, alive_until_s), max(to, self._now_s()))))
        self._since_s = at_s
        self._write(None)

    def beat(self) -> None:
        """Still there. Cheap; does something every few seconds."""
        now_s = self._now_s()
        if self._since_s is None or abs(now_s - self._beaten_s) < _BEAT_S:
            return
        self._beaten_s = now_s
        try:
            os.utime(self._path, (now_s, now_s))
        except FileNotFoundError:
            self._write(None)
        except OSError as error:
            logger.warning("%s can't be touched: %s", self._path, error)

    def end(self) -> None:
        """Not there any more."""
        if self._since_s is not None:
            self._write(self._now_s())

    def _write(self, end_s: int | None) -> None:
        now_s = self._now_s()
        assert self._since_s is not None
        past = [stretch for stretch in self._past if stretch[1] >= now_s - self._kept_s]
        stretches = (*past, (self._since_s, end_s))[-_STRETCHES_MAX:]
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        try:
            temporary.write_text(_Stretches(stretches=stretches).model_dump_json())
            os.utime(temporary, (now_s, now_s))
            temporary.replace(self._path)
        except OSError as error:
            logger.warning("%s can't be written: %s", self._path, error)
            temporary.unlink(missing_ok=True)

    def gaps(self, start_s: int) -> tuple[tuple[int, int], ...]:
        """Stretches since ``start_s`` in which nobody was there."""
        if self._since_s is None or not self._past:
            return ()
        ends = [to for _, to in self._past]
        begins = [since for since, _ in self._past[1:]] + [self._since_s]
        found = [(max(to, start_s), since) for to, since in zip(ends, begins, strict=True)]
        return tuple((to, since) for to, since in found if since > to)

    @property
    def since_s(self) -> int | None:
        """When somebody was there first; None before ``begin``."""
        if self._past:
            return self._past[0][0]
        return self._since_s
