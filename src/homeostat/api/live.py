"""``WS /api/live``: what happens, as it happens. One bounded subscription of the bus per connection.

The bus counts from one in every life of the process. On the wire the milliseconds at which this life began are
added, so that a client that comes back after a restart is told of a gap instead of being resumed in the wrong life.
"""

import logging
from typing import Annotated

import anyio
from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from homeostat.api.context import Here
from homeostat.core.models import BusMessage
from homeostat.core.ports import Subscription

log = logging.getLogger(__name__)
router = APIRouter()

TOPICS = ("red", "issues", "incidents", "timeline", "runs", "loop", "flags", "storage", "slos", "events")
CONNECTIONS_MAX = 64
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class Wish(BaseModel):
    """What a client may send."""

    model_config = ConfigDict(extra="forbid")

    subscribe: list[str]


class _RefusedError(Exception):
    """The client asked for something that does not exist; its text goes into the close frame."""


@router.websocket("/api/live")
async def live(
    websocket: WebSocket,
    here: Here,
    topics: str = ",".join(TOPICS),
    after: Annotated[int | None, Query(ge=0)] = None,
) -> None:
    """Send messages of the topics, behind ``after`` where still buffered, until the client leaves."""
    await websocket.accept()
    try:
        wanted = _known([topic.strip() for topic in topics.split(",") if topic.strip()])
    except _RefusedError as error:
        await websocket.close(POLICY_VIOLATION, str(error))
        return
    if here.live_connections >= CONNECTIONS_MAX:
        await websocket.close(TRY_AGAIN_LATER, f"{CONNECTIONS_MAX} clients watch already; try again later")
        return
    here.live_connections += 1
    try:
        behind = None if after is None else after - here.live_base
        async with here.parts.bus.subscribe(wanted, after=behind) as messages:
            await _Conversation(websocket, messages, here.live_base).hold(wanted)
    finally:
        here.live_connections -= 1


class _Conversation:
    """One connection: sends and listens at once; when either ends, both do."""

    def __init__(self, websocket: WebSocket, messages: Subscription, base: int) -> None:
        self._websocket = websocket
        self._messages = messages
        self._base = base

    async def hold(self, topics: list[str]) -> None:
        """Talk until the client leaves."""
        async with anyio.create_task_group() as both:

            async def listen() -> None:
                await self._listen()
                both.cancel_scope.cancel()

            both.start_soon(listen)
            await self._send(topics)
            both.cancel_scope.cancel()

    async def _send(self, topics: list[str]) -> None:
        hello: dict[str, object] = {"topics": topics, "resumed": self._messages.resumed}
        try:
            await self._send_one(BusMessage(seq=self._messages.seq, topic="hello", data=hello))
            async for message in self._messages:
                # This waits while the client's socket is full; meanwhile the bus fills this subscription's bounded
                # queue and, should that overflow, puts a gap into it.
                await self._send_one(message)
        except (WebSocketDisconnect, RuntimeError):
            # RuntimeError: starlette's word for sending after the close frame, when the client left in between.
            log.debug("A live client left while being sent to")

    async def _send_one(self, message: BusMessage) -> None:
        wire = {"seq": self._base + message.seq, "topic": message.topic, "data": message.data}
        await self._websocket.send_text(to_json(wire, inf_nan_mode="null").decode())

    async def _listen(self) -> None:
        """Obey wishes until the client leaves or asks for nonsense."""
        try:
            while True:
                wish = Wish.model_validate_json(await self._websocket.receive_text())
                self._messages.watch(_known(wish.subscribe))
        except WebSocketDisconnect:
            return
        except (ValidationError, KeyError):  # KeyError: a binary message
            await self._websocket.close(POLICY_VIOLATION, 'Send JSON: {"subscribe": ["red", "incidents"]}')
        except _RefusedError as error:
            await self._websocket.close(POLICY_VIOLATION, str(error))


def _known(topics: list[str]) -> list[str]:
    unknown = sorted(set(topics) - set(TOPICS))
    if unknown:
        # A close frame holds 123 bytes of reason.
        raise _RefusedError(f"No topic {unknown[0][:20]!r}. Topics: {' '.join(TOPICS)}")
    return topics
