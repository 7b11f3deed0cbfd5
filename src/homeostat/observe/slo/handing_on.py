"""Alerts on their way to who follows them: what is refused waits for the next look. Used by ``service``.

What waits is remembered across a restart: an end that nobody hears of would leave its alert firing for ever.
"""

import logging
from collections.abc import Iterable
from typing import Final

from pydantic import TypeAdapter, ValidationError

from homeostat.core.errors import HomeostatError, StoreError
from homeostat.core.events import Event
from homeostat.core.ports import AlertSink, StateStore

log = logging.getLogger(__name__)

UNTOLD_SETTING: Final = "slo:untold"
WAITING_MAX: Final = 1_000
"""Beyond, those that are over are given up first, the oldest of them: who is told late of them has nothing to do."""

_Events = TypeAdapter(list[Event])


class HandingOn:
    """A bounded queue before a sink. An alert that ends while it waits is one event, with its end."""

    def __init__(self, sink: AlertSink | None, state: StateStore) -> None:
        self._sink = sink
        self._state = state
        self._waiting: dict[str, Event] = {}  # by id, in their order
        self._stored: list[Event] = []  # what is on record as waiting
        self._told_of_trouble = False

    async def open(self) -> None:
        """Take up what waited at the last stop. Raises StoreError."""
        text = await self._state.get_setting(UNTOLD_SETTING)
        if text is None:
            return
        try:
            waiting = _Events.validate_json(text)
        except ValidationError:
            log.warning(
                "The SLO alerts that waited to be handed on at the last stop cannot be read: they are left out"
            )
            return
        self._waiting = {event.id: event for event in waiting}
        self._stored = waiting

    def add(self, events: Iterable[Event]) -> None:
        """To be handed on with the next ``flush``."""
        if self._sink is None:
            return
        for event in events:
            self._waiting[event.id] = event
        while len(self._waiting) > WAITING_MAX:
            over = next((event for event in self._waiting.values() if event.ended_at is not None), None)
            given_up = over or next(iter(self._waiting.values()))
            del self._waiting[given_up.id]
            log.warning("More than %d SLO alerts wait: %r is not handed on", WAITING_MAX, given_up.title)

    async def flush(self) -> None:
        """Hand on what waits. What is refused waits on, and holds up no other."""
        if self._sink is None or not self._waiting:
            return
        problem = ""
        for event in list(self._waiting.values()):
            try:
                await self._sink.alert(event)
            except HomeostatError as error:
                problem = str(error)
            else:
                if self._waiting.get(event.id) is event:  # it may have ended meanwhile
                    del self._waiting[event.id]
        if problem and not self._told_of_trouble:
            log.warning("%d SLO alerts wait to be handed on: %s", len(self._waiting), problem)
        self._told_of_trouble = bool(problem)
        await self.remember()

    async def remember(self) -> None:
        """Write down what waits, where that has changed."""
        waiting = list(self._waiting.values())
        if waiting == self._stored:
            return
        try:
            await self._state.put_setting(UNTOLD_SETTING, _Events.dump_json(waiting).decode())
        except StoreError as error:
            log.warning("Which SLO alerts wait could not be stored; a restart would lose them: %s", error)
        else:
            self._stored = waiting
