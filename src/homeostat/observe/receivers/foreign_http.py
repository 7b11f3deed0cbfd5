"""A foreign protocol over HTTP: what Jaeger's and Zipkin's collectors have in common. ``foreign`` serves both.

Answers as they do: 202 when the spans are taken, a line of text when they are not.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final

from homeostat.core.errors import HomeostatError
from homeostat.observe.receivers import Refuse, Submit
from homeostat.observe.receivers.body import (
    Bodies,
    Message,
    Receive,
    Send,
    answer,
    content_type,
    headers_of,
    refusal_headers,
)
from homeostat.observe.receivers.refusal import refusal_of, unknown_path, wrong_method, wrong_type
from homeostat.observe.receivers.room import Room
from homeostat.observe.receivers.translated import Translated

_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")


class ForeignHttp:
    """The ASGI application; a protocol fills in what it is called with."""

    path: ClassVar[str]
    readers: ClassVar[Mapping[bytes, Callable[[bytes], Translated]]]  # by media type
    accepted: ClassVar[str]  # what belongs at the path, as the subject of a sentence: "Batches are"
    types: ClassVar[str]  # for people: the media types

    def __init__(self, submit: Submit, refuse: Refuse, *, max_request_bytes: int, room: Room | None = None) -> None:
        self._submit = submit
        self._refuse = refuse
        self._bodies = Bodies(max_request_bytes, room, workers_max=1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            headers = headers_of(scope)
            read = self._reader(scope, headers)
            with self._bodies.place() as place:
                body = await self._bodies.read(headers, receive, place)
                translated = await self._bodies.work(len(body), partial(read, body))
                place.take(len(translated.request))
                await self._submit(translated.request)
        except HomeostatError as error:
            refusal = refusal_of(error)
            self._refuse(refusal.reason)
            await answer(send, refusal.http_status, refusal.message.encode(), [_TEXT, *refusal_headers(refusal)])
            return
        if translated.without_time:
            self._refuse("span_without_time", translated.without_time)
        await answer(send, 202, b"", [])

    def _reader(self, scope: Message, headers: dict[bytes, bytes]) -> Callable[[bytes], Translated]:
        if scope["path"] != self.path:
            raise unknown_path(scope["path"], f"{self.accepted}, at {self.path}.")
        if scope["method"] != "POST":
            raise wrong_method()
        reader = self.readers.get(content_type(headers))
        if reader is None:
            raise wrong_type(self.types)
        return reader
