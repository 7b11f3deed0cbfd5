"""What just happened, in one process, for those who watch: implements ``core.ports.Bus``.

The loop and the healer publish; ``api.live`` and ``api.tally`` subscribe. Everything is bounded: the ring of
messages kept for those who come back, and each subscriber's queue. The publisher never waits: a subscriber that
cannot keep up loses messages and gets one ``gap`` in their place.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from homeostat.core.models import BusMessage

GAP = "gap"
"""Topic of the message that stands for lost ones; every subscriber gets it, whatever its topics."""

RING_MESSAGES = 4096
"""Messages kept for subscribers that come back."""

QUEUE_MESSAGES = 1024
"""Messages waiting for one subscriber before they are dropped for a gap (and those sent again at its start)."""


class LocalSubscription:
    """One subscriber's end. Made by ``LocalBus.subscribe``; implements ``core.ports.Subscription``."""

    def __init__(self, topics: Sequence[str], seq: int, queue_messages: int) -> None:
        self._topics = frozenset(topics)
        self._seq = seq
        self._resumed = False
        self._queue: deque[BusMessage] = deque()
        self._limit = queue_messages
        self._wake = anyio.Event()

    @property
    def seq(self) -> int:
        """The bus's newest sequence number when the subscription was made."""
        return self._seq

    @property
    def resumed(self) -> bool:
        """Whether everything behind ``after`` was still buffered."""
        return self._resumed

    @property
    def waiting(self) -> int:
        """Messages not taken yet: at most the queue's bound."""
        return len(self._queue)

    def watch(self, topics: Sequence[str]) -> None:
        """Change the topics from now on; what already waits is still delivered."""
        self._topics = frozenset(topics)

    def replay(self, messages: Sequence[BusMessage], *, complete: bool) -> None:
        """Put what was missed in front; without ``complete`` a gap says that older ones are gone."""
        self._resumed = complete
        if not complete:
            self._put(_gap(self._seq))
            return
        self._queue.extend(message for message in messages if message.topic in self._topics)
        self._limit += len(self._queue)  # what is sent again does not count against a reader who just came

    def offer(self, message: BusMessage) -> None:
        """Queue a message of a watched topic; a full queue is dropped for one gap. Never blocks."""
        if message.topic not in self._topics:
            return
        if len(self._queue) >= self._limit:
            self._queue.clear()
            self._put(_gap(message.seq))
            return
        self._put(message)

    def _put(self, message: BusMessage) -> None:
        self._queue.append(message)
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[BusMessage]:
        return self

    async def __anext__(self) -> BusMessage:
        while not self._queue:
            self._wake = anyio.Event()
            await self._wake.wait()
        return self._queue.popleft()


class LocalBus:
    """The bus of one process. Every method belongs to the event loop's thread; none of them blocks."""

    def __init__(self, *, ring_messages: int = RING_MESSAGES, queue_messages: int = QUEUE_MESSAGES) -> None:
        self._ring: deque[BusMessage] = deque(maxlen=ring_messages)
        self._queue_messages = queue_messages
        self._subscriptions: set[LocalSubscription] = set()
        self._seq = 0

    @property
    def seq(self) -> int:
        """Sequence number of the newest message; 0 before the first."""
        return self._seq

    @property
    def subscribers(self) -> int:
        """How many watch now."""
        return len(self._subscriptions)

    def publish(self, topic: str, data: dict[str, object]) -> int:
        """Send to every subscriber of the topic; returns the sequence number. Call from the loop's thread only."""
        self._seq += 1
        message = BusMessage(seq=self._seq, topic=topic, data=data)
        self._ring.append(message)
        for subscription in self._subscriptions:
            subscription.offer(message)
        return self._seq

    @asynccontextmanager
    async def subscribe(
        self, topics: Sequence[str], *, after: int | None = None
    ) -> AsyncGenerator[LocalSubscription, None]:
        """Messages of the topics from now on, or behind the sequence number ``after`` where still buffered.

        An ``after`` from before the ring, or from another life of the process (it is ahead of ``seq``), begins
        with a gap.
        """
        subscription = LocalSubscription(topics, self._seq, self._queue_messages)
        if after is not None:
            oldest = self._ring[0].seq if self._ring else self._seq + 1
            complete = oldest - 1 <= after <= self._seq
            missed = [message for message in self._ring if message.seq > after] if complete else []
            subscription.replay(missed, complete=complete)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)


def _gap(seq: int) -> BusMessage:
    """Says that messages up to ``seq`` may have been lost."""
    return BusMessage(seq=seq, topic=GAP, data={})
