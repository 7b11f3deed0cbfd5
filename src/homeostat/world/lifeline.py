"""Ties a process to the one that started it: killed in whatever way, it leaves nothing of the world running.

``tied`` wraps a command of ``launch`` and the rehearsal's ``stage``; the services and their fork server call
``die_with`` themselves. As a script (``lifeline.py PID COMMAND...``) it ties itself and becomes the command, which
keeps the tie: only the standard library is there.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """SIGKILL for this process when its parent goes (Linux: the thread that started it); at once when it has gone."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:  # it went before the kernel was asked: nobody would be told any more
        os._exit(0)


def tied(command: Sequence[str]) -> list[str]:
    """The same command, which ends with this process. Start it from a thread that lives as long as this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
