"""OTLP over gRPC (port 4317): ``Export`` of the three services, on raw bytes, so that nothing is parsed twice.

The server, and what it bounds, is ``grpc_server``.
"""

from contextlib import AbstractAsyncContextManager
from typing import Final

from homeostat.observe.receivers import Refuse, Submit, grpc_server
from homeostat.observe.receivers.otlp_signals import SIGNALS, Signal
from homeostat.observe.receivers.room import Place, Room
from homeostat.observe.receivers.submit import Submitters

_SETTINGS: Final = "receivers.host or receivers.otlp_grpc_port"


def serving(
    host: str,
    port: int,
    submitters: Submitters,
    refuse: Refuse,
    *,
    max_request_bytes: int,
    room: Room | None = None,
) -> AbstractAsyncContextManager[int]:
    """Serve until the block is left; gives the bound port. Raises PortTakenError, ListenError."""
    services = {signal.service: ("Export", _export(signal, signal.submit_of(submitters))) for signal in SIGNALS}
    return grpc_server.serving(
        host, port, services, refuse, max_request_bytes=max_request_bytes, settings=_SETTINGS, room=room
    )


def _export(signal: Signal, submit: Submit) -> grpc_server.Handle:
    async def export(request: bytes, _: Place) -> bytes:
        return signal.response_to(await submit(request)).SerializeToString()

    return export
