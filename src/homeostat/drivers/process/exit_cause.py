"""Why a process ended, where the kernel tells us. Called by the sensor the moment its pidfd says that it is over."""

import fcntl
import os
import signal
import struct
from dataclasses import dataclass

from homeostat.drivers.process.identity import ProcessIdentity, stat_fields

# include/uapi/linux/pidfd.h: PIDFD_GET_INFO = _IOWR(0xFF, 11, struct pidfd_info), Linux 6.13; exit codes since 6.15.
_PIDFD_INFO = struct.Struct("=QQ11Ii")  # mask, cgroup id, eleven ids, exit code
_PIDFD_GET_INFO = (3 << 30) | (_PIDFD_INFO.size << 16) | (0xFF << 8) | 11
_PIDFD_INFO_EXIT = 1 << 3

_STAT_EXIT_CODE = 52 - 3  # field 52 of /proc/<pid>/stat, counted from the third
_STAT_START = 22 - 3


@dataclass(frozen=True, slots=True)
class ExitCause:
    """``code`` as a shell would show it: 0..255, 128 + n for signal n; None when nobody may know."""

    code: int | None
    text: str


def exit_cause(identity: ProcessIdentity, pidfd: int) -> ExitCause:
    """Ask the pidfd first (also after the parent has reaped it), then look at the zombie. Reaps nothing itself."""
    status = _from_pidfd(pidfd)
    if status is None:
        status = _from_zombie(identity)
    return ExitCause(None, "the cause of death is not visible") if status is None else describe(status)


def describe(status: int) -> ExitCause:
    """Put a wait status (see wait(2)) into words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {number}"
        return ExitCause(128 + number, f"killed by {name}")
    code = os.WEXITSTATUS(status)
    return ExitCause(code, f"exited with code {code}")


def _from_pidfd(pidfd: int) -> int | None:
    request = bytearray(_PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *([0] * 13)))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request)
    except OSError:  # an older kernel, or the zombie has not been reaped yet
        return None
    answer = _PIDFD_INFO.unpack(request)
    return int(answer[-1]) if answer[0] & _PIDFD_INFO_EXIT else None


def _from_zombie(identity: ProcessIdentity) -> int | None:
    fields = stat_fields(identity.pid)
    if len(fields) <= _STAT_EXIT_CODE or fields[_STAT_START] != str(identity.start_ticks):
        return None
    return int(fields[_STAT_EXIT_CODE])
