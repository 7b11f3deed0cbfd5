"""The ports of a Jaeger agent (UDP 6831 compact, 6832 binary): one ``emitBatch`` in each datagram.

Nobody is answered, so what can't be taken is dropped and counted: ``udp_queue`` when too many wait, ``malformed``,
or what the store said. Made by ``observe.pipeline``.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
import anyio.to_thread

from homeostat.core.errors import HomeostatError
from homeostat.net import bind_udp, bound_port
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.jaeger_thrift import emitted_batch
from homeostat.observe.receivers.jaeger_translate import to_otlp
from homeostat.observe.receivers.refusal import refusal_of
from homeostat.observe.receivers.thrift import BinaryReader, CompactReader, Reader

Protocol = Callable[..., Reader]
"""Makes the reader of a datagram."""

COMPACT: Final[Protocol] = CompactReader
BINARY: Final[Protocol] = BinaryReader

_QUEUE_MAX: Final = 512  # datagrams of at most 64 KiB: 32 MiB
_SENDERS: Final = 8  # batches on their way into the store at once: they share its fsyncs
_KERNEL_BYTES: Final = 4 << 20  # wait in the socket while the loop is at something else
_INLINE_BYTES_MAX: Final = 8 << 10  # more than this is translated in a thread
_GRACE_S: Final = 1.0
_ITEMS_MAX: Final = 66_000  # a datagram has no more bytes than that


class _Agent(asyncio.DatagramProtocol):
    """Takes datagrams off the socket: they wait here, not longer than the queue."""

    def __init__(self, queue: asyncio.Queue[bytes], refuse: Refuse) -> None:
        self._queue = queue
        self._refuse = refuse

    def datagram_received(self, data: bytes, addr: object) -> None:
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            self._refuse("udp_queue")


@asynccontextmanager
async def serving(
    host: str, port: int, protocol: Protocol, submit: Submit, refuse: Refuse, *, settings: str
) -> AsyncGenerator[int]:
    """Take datagrams until the block is left; gives the bound port. Raises PortTakenError, ListenError.

    ``protocol`` is COMPACT or BINARY; ``settings`` names where the port is configured.
    """
    queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE_MAX)
    sock = bind_udp(host, port, settings=settings)
    with contextlib.suppress(OSError):  # the system may allow less
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BYTES)
    bound = bound_port(sock)
    workers = anyio.CapacityLimiter(1)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Agent(queue, refuse), sock=sock)

    async def take(data: bytes) -> None:
        translate = partial(_translated, protocol, data)
        try:
            if len(data) <= _INLINE_BYTES_MAX:
                request = translate()
            else:
                request = await anyio.to_thread.run_sync(translate, limiter=workers)
            await submit(request)
        except HomeostatError as error:
            refuse(refusal_of(error).reason)

    async def work() -> None:
        while True:
            await take(await queue.get())
            queue.task_done()
            await asyncio.sleep(0)  # a flood of bad datagrams must not keep the loop from others

    async with anyio.create_task_group() as tasks:
        for _ in range(_SENDERS):
            tasks.start_soon(work)
        try:
            yield bound
        finally:
            transport.close()
            with anyio.move_on_after(_GRACE_S, shield=True):  # what has come in is not thrown away
                await queue.join()
            tasks.cancel_scope.cancel()


def _translated(protocol: Protocol, data: bytes) -> bytes:
    return to_otlp([emitted_batch(protocol(data, items_max=_ITEMS_MAX))])
