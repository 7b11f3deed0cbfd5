"""The process that the services are forked from, so that starting one takes milliseconds and not a second.

Everything a service needs is imported here once; ``os.fork`` then copies the ready process. Started by the
supervisor as ``python -m homeostat.world.zygote <fd>``; one JSON line in per service, one JSON line out with its pid.
Dies with the supervisor, and the services die with it: the kernel sees to that (``lifeline``).
It has one thread and no event loop, because a fork copies neither.
"""

import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from homeostat.world import service
from homeostat.world.lifeline import die_with

PR_SET_NAME = 15
_LIBC = ctypes.CDLL(None, use_errno=True)


def name_process(name: str) -> None:
    """What ``ps`` shows; the kernel keeps 15 bytes."""
    _LIBC.prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: pid and this together never repeat.

    Raises FileNotFoundError or ProcessLookupError when there is no such process.
    """
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text.rpartition(")")[2].split()[19])  # field 22; the name before it may contain spaces


def _ticks_or_zero(pid: int) -> int:
    """0 for a child that has died already: the supervisor sees that by its pidfd."""
    try:
        return start_ticks(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _child(spec: service.ServiceSpec, control: socket.socket, zygote_pid: int) -> None:
    """What the fork does; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        die_with(zygote_pid)
        name_process(spec.name)
        control.close()
        service.run(spec)
        code = 0
    except Exception:
        logging.getLogger(__name__).exception("%s ended", spec.name)
    finally:
        logging.shutdown()
        os._exit(code)


def main() -> None:
    """Serve forks until the supervisor closes its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    die_with(int(sys.argv[2]))
    name_process("world-zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead; the supervisor watches pidfds
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    gc.collect()
    gc.freeze()  # children share these pages for as long as no collection writes to them
    own_pid = os.getpid()
    with control.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            spec = service.ServiceSpec.decode(line)
            pid = os.fork()
            if pid == 0:
                _child(spec, control, own_pid)
            answer = {"pid": pid, "start_ticks": _ticks_or_zero(pid)}
            control.sendall(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
