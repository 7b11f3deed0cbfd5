"""What the process does with memory. ``keep_blocks`` is called by ``pipeline``, ``leave_alone`` by ``server``.

Each batch of spans needs the same few large blocks. By default the C library maps and unmaps every one of them, and
the kernel clears every page each time: a sixth of the CPU of taking a span in (``bench.ingest``: 1.2 times as many
spans per CPU-second with this).
"""

import ctypes
import gc
from typing import Final

import pyarrow as pa

_M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_BLOCK_BYTES_MAX: Final = 256 << 20
_KEPT_BYTES_MAX: Final = 128 << 20


def keep_blocks() -> None:
    """Let the C library's allocator serve Arrow too, and keep up to 128 MiB of what was freed."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return  # not glibc: its allocator stays as it is
    mallopt(_M_ARENA_MAX, 1)  # one: what a thread frees serves the others (30 MB less in a busy intake)
    if mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES_MAX) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES_MAX):
        pa.set_memory_pool(pa.system_memory_pool())


def leave_alone() -> None:
    """Let the garbage collector pass over everything that is there now. Once, when a process has started up.

    The 180,000 objects of libraries stay for ever; to look through them again and again took a twentieth of the
    CPU of taking spans in.
    """
    gc.freeze()
