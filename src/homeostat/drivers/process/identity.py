"""Which process a pid file means. A pid alone is not enough: the kernel gives the number to another one later.

A pid file holds the pid in its first line and may hold the start time (clock ticks since boot, field 22 of
``/proc/<pid>/stat``) in its second. Used by the sensor and the actions of this driver.
"""

import os
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

PID_FILE_SLACK_S = 2.0
"""A pid file is written soon after its process started: one that started this much later is another process."""

_FIELDS_AFTER_NAME = 2  # /proc/<pid>/stat: pid and (name) come before the first field that split() sees
_STATE, _START_TICKS = 3 - _FIELDS_AFTER_NAME - 1, 22 - _FIELDS_AFTER_NAME - 1
_DEAD_STATES = "ZXx"


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, never confused with a later one. ``start_ticks`` None: it was gone before it could be read."""

    pid: int
    start_ticks: int | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a pid file says, and whether it is true. ``identity`` None: there is no (readable) pid in it."""

    identity: ProcessIdentity | None
    alive: bool


UNSEEN = Sighting(None, alive=False)


def look(pid_file: Path) -> Sighting:
    """Read a pid file and check the process that it names. A missing or half-written file is ``UNSEEN``."""
    try:
        text = pid_file.read_text(encoding="ascii")
        written_at = pid_file.stat().st_mtime
    except (OSError, UnicodeDecodeError):
        return UNSEEN
    lines = text.split()
    if not lines or not all(line.isdigit() for line in lines[:2]) or not int(lines[0]):
        return UNSEEN
    pid = int(lines[0])
    wanted = int(lines[1]) if len(lines) > 1 else None
    present = start_ticks(pid)
    if present is None:
        return Sighting(ProcessIdentity(pid, wanted), alive=False)
    if wanted is None and _started_at(present) > written_at + PID_FILE_SLACK_S:
        return Sighting(ProcessIdentity(pid, None), alive=False)
    if wanted is not None and wanted != present:
        return Sighting(ProcessIdentity(pid, wanted), alive=False)
    return Sighting(ProcessIdentity(pid, present), alive=True)


def start_ticks(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot; None when it is dead, a zombie included."""
    fields = stat_fields(pid)
    if len(fields) <= _START_TICKS or fields[_STATE] in _DEAD_STATES:
        return None
    return int(fields[_START_TICKS])


def stat_fields(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` from the third on (the name may hold blanks); empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _started_at(ticks: int) -> float:
    """Unix time of a start time in ticks."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return int(line.split()[1]) + ticks / CLOCK_TICKS_PER_S
    return 0.0
