"""The thread that takes one signal in: decode, validate, log, keep, acknowledge, count. Three of them run.

Receivers ``submit`` from the event loop. Whatever waits when the thread is free is one group: decoded together,
written with one fsync, acknowledged together. The queue is bounded in requests and in bytes; a sender that
meets a full one is told to come back. What is done with the rows beyond storing them is the lane's ``Keeper``.
"""

import asyncio
import logging
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Final

import pyarrow as pa

from homeostat.core.errors import HomeostatError, StoreError, StoreFullError, TelemetryRejectedError
from homeostat.observe.counters import Counters
from homeostat.observe.decode.traces import Outcome
from homeostat.observe.keeper import Group, Keeper
from homeostat.observe.repeats import Key, Repeats
from homeostat.store.telemetry.lane import Lane
from homeostat.store.telemetry.wal_format import Record

logger = logging.getLogger(__name__)

_GROUP_BYTES_MAX: Final = 4 << 20
_GROUP_REQUESTS_MAX: Final = 256
_QUEUE_BYTES_MAX: Final = 64 << 20
_QUEUE_REQUESTS_MAX: Final = 4096
_GATHER_S: Final = 0.008  # how long the first of a group waits for others: a group of one costs half as much again
_GATHER_BYTES: Final = 1 << 20  # unless so much is there already
_LOOK_S: Final = 0.5  # how often an idle thread looks whether hot rows have grown old
_ROOM_WAIT_S: Final = 5.0  # how long senders wait for segments to be written before they are sent away
_REPLAY_GROUP: Final = 64
_RELEASE_FAILURES_MAX: Final = 3  # in a row: from then on senders are sent away, so that nothing piles up


class OverloadedError(HomeostatError):
    """More comes in than can be taken: the sender should retry later."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an acknowledged request brought."""

    accepted: int  # rows: spans, metric points or log records
    rejected: int  # rows that can't be, e.g. spans with an id of the wrong length or all zeros


@dataclass(frozen=True, slots=True)
class Batch:
    """What a lane's decoder makes of some requests: the rows of all, and one outcome for each, in order."""

    rows: pa.Table
    outcomes: Sequence[Outcome]


Decode = Callable[[Sequence[bytes]], Batch]
"""Never raises for a bad request: its outcome says so, and it spoils none of the others."""


@dataclass(slots=True)
class _Pending:
    payload: bytes
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Receipt]"
    key: Key | None = None  # where requests that come again are looked for


Result = tuple[_Pending, Receipt | HomeostatError]


class Intake:
    """``run`` is the thread's body; ``submit`` is for coroutines; ``stop`` makes ``run`` return when all is done."""

    def __init__(
        self,
        lane: Lane[Any],
        decode: Decode,
        keeper: Keeper,
        counters: Counters,
        on_sealed: Callable[[], None],
        repeats: Repeats[Receipt] | None = None,
    ) -> None:
        """``repeats``: requests that come again are acknowledged and not stored again. None: they are stored."""
        self._lane = lane
        self._decode = decode
        self._keeper = keeper
        self._counters = counters
        self._on_sealed = on_sealed
        self._repeats = repeats
        self._queue: deque[_Pending] = deque()
        self._queued_bytes = 0
        self._stopping = False
        self._let_go: pa.Table | None = None  # by the keeper, and not stored yet
        self._release_failures = 0  # in a row
        self._changed = threading.Condition()
        lane.on_seal = keeper.on_seal

    async def submit(self, payload: bytes) -> Receipt:
        """Hand over one serialized OTLP request; returns when it is durable.

        Raises TelemetryRejectedError (malformed), OverloadedError, StoreFullError or StoreError (retry later).
        """
        loop = asyncio.get_running_loop()
        pending = _Pending(payload, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise OverloadedError("Homeostat is stopping. Retry in a moment.")
            if len(self._queue) >= _QUEUE_REQUESTS_MAX or self._queued_bytes + len(payload) > _QUEUE_BYTES_MAX:
                raise OverloadedError(f"{len(self._queue)} requests are waiting already. Retry in a moment.")
            self._queue.append(pending)
            self._queued_bytes += len(payload)
            self._changed.notify()
        return await pending.answer

    def stop(self) -> None:
        """Take no more; ``run`` returns when the queue is empty."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    # -- the start --------------------------------------------------------------------------------------------

    def replay(self) -> None:
        """Make visible what the log holds and no segment does.

        A record that can't be taken in any more is kept aside in a file: it was acknowledged, and must neither be
        lost nor stop every start. Raises StoreError when there is no room even for that.
        """
        checkpoint = self._lane.checkpoint
        for records in _groups(self._lane.replay(), sorted({*self._keeper.held_since, checkpoint + 1})):
            self._replay_group(records, settled=records[0].seq <= checkpoint)
            self._seal_if_due()

    def _replay_group(self, records: Sequence[Record], *, settled: bool) -> None:
        if self._replayed(records, settled=settled):
            return
        for record in records:
            if not self._replayed([record], settled=settled):
                self._lane.keep_aside(record, "the log above says why")
                self._counters.refuse("replay")

    def _replayed(self, records: Sequence[Record], *, settled: bool) -> bool:
        """Take records in; False, with the reason logged, when an error that nobody foresaw comes out of them."""
        try:
            batch = self._decode([record.payload for record in records])
            for record, outcome in zip(records, batch.outcomes, strict=True):
                if outcome.error is not None and not settled:
                    self._lane.keep_aside(record, outcome.error)
                    self._counters.refuse("replay")
                if self._repeats is not None:
                    self._remember(self._repeats.key_of(record.payload), outcome)
            group = Group(batch.rows, records[0].seq, records[-1].seq, settled=settled)
            self._lane.add(self._keeper.keep(group), group.last_seq)
            if not settled:  # of what is settled all must have come before anything of it is let go
                self._release(group.last_seq, final=False)
        except HomeostatError:
            raise
        except Exception:  # the record would raise again at each start
            logger.exception("%d records of the log could not be taken in", len(records))
            return False
        if not settled:
            self.count(batch.rows)
        return True

    def count(self, rows: pa.Table) -> None:
        """Count rows. They are stored and stay so, whatever goes wrong here: one batch must not end the process."""
        try:
            self._keeper.count(rows)
        except Exception:
            logger.exception("%d rows are stored, but missing from rates and topology", rows.num_rows)
            self._counters.refuse("uncounted_span", rows.num_rows)

    # -- the thread -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """The thread's body."""
        while (group := self._take()) is not None:
            if group:
                self._answer(self._process(group))
            self._release(self._lane.last_seq, final=False)
            self._seal_if_due()
        self._release(self._lane.last_seq, final=True)
        if self._let_go is None:  # else the log has it, and the next start reads it again
            self._lane.seal()
        self._on_sealed()

    def _seal_if_due(self) -> None:
        """After everything was counted: what is remembered at a checkpoint must cover all that it covers."""
        if self._lane.is_due and self._let_go is None:
            self._lane.seal()
        self._on_sealed()

    def _release(self, last_seq: int, *, final: bool) -> None:
        """What the keeper held back and lets go of now. Its requests stay in the log until a checkpoint says so."""
        try:
            if self._let_go is None:
                self._let_go = self._keeper.release(final=final)
            if self._let_go is not None:
                self._lane.add(self._let_go, last_seq)
                self._let_go = None
        except Exception:  # nothing is lost: the keeper holds it, or this does
            if not self._release_failures:  # once, not at every attempt
                logger.exception("What was held back could not be let go of; it is tried again")
            self._release_failures += 1
            return
        self._release_failures = 0

    def _take(self) -> list[_Pending] | None:
        """The next group; empty after a while without any, None at the end."""
        with self._changed:
            if not self._queue and not self._stopping:
                self._changed.wait(_LOOK_S)
            if not self._queue:
                return None if self._stopping else []
            self._changed.wait_for(self._is_worth_a_group, _GATHER_S)
            group: list[_Pending] = []
            size = 0
            while self._queue and len(group) < _GROUP_REQUESTS_MAX and size < _GROUP_BYTES_MAX:
                pending = self._queue.popleft()
                group.append(pending)
                size += len(pending.payload)
            self._queued_bytes -= size
            return group

    def _is_worth_a_group(self) -> bool:
        return self._stopping or self._queued_bytes >= _GATHER_BYTES

    def _process(self, group: list[_Pending]) -> list[Result]:
        if self._repeats is None:
            return self._take_in(group)
        first: dict[Key, _Pending] = {}
        again: list[_Pending] = []
        for pending in group:
            key = pending.key = self._repeats.key_of(pending.payload)
            if key in first or self._repeats.answer(key) is not None:
                again.append(pending)
            else:
                first[key] = pending
        results = self._take_in(list(first.values())) if first else []
        return [*results, *self._answered_again(self._repeats, again)] if again else results

    def _answered_again(self, repeats: Repeats[Receipt], group: list[_Pending]) -> list[Result]:
        """Requests that came before: those whose answer is known get it, the others are taken in."""
        answers = [repeats.answer(pending.key) if pending.key is not None else None for pending in group]
        known: list[Result] = [(p, answer) for p, answer in zip(group, answers, strict=True) if answer is not None]
        others = [p for p, answer in zip(group, answers, strict=True) if answer is None]
        self._counters.repeat(len(known), self._lane.spec.name)
        return [*known, *(self._take_in(others) if others else ())]

    def _remember(self, key: Key | None, outcome: Outcome) -> None:
        """A request that is durable. One whose records say no time is not: the next like it may be another."""
        receipt = _receipt(outcome)
        if self._repeats is None or key is None or not isinstance(receipt, Receipt):
            return
        if receipt.accepted and outcome.is_timed:
            self._repeats.remember(key, receipt)

    def _take_in(self, group: list[_Pending]) -> list[Result]:
        try:
            self._wait_for_room()
            batch = self._decode([pending.payload for pending in group])
            kept = [p.payload for p, outcome in zip(group, batch.outcomes, strict=True) if outcome.accepted]
            if kept:
                last_seq = self._lane.append(kept)
                logged = Group(batch.rows, last_seq - len(kept) + 1, last_seq, settled=False)
                self._lane.add(self._keeper.keep(logged), last_seq)
        except HomeostatError as error:
            return [(pending, error) for pending in group]
        except Exception:
            logger.exception("A group of %d requests could not be taken in", len(group))
            error = OverloadedError("The requests could not be taken in; the log says why. Retry later.")
            return [(pending, error) for pending in group]
        for pending, outcome in zip(group, batch.outcomes, strict=True):
            self._remember(pending.key, outcome)
        self._counters.add(batch.outcomes, self._lane.spec.name)
        self._answer([(p, _receipt(o)) for p, o in zip(group, batch.outcomes, strict=True)])
        self.count(batch.rows)
        return []

    def _wait_for_room(self) -> None:
        """Rows may not pile up in memory while segments, or what was held back, can't be stored."""
        if self._release_failures >= _RELEASE_FAILURES_MAX:
            raise StoreError("What was decided can't be stored; the log says why. Nothing is lost; retry later.")
        with self._lane.room:
            has_room = self._lane.room.wait_for(
                lambda: self._lane.sealed_count <= self._lane.policy.sealed_max, _ROOM_WAIT_S
            )
        if not has_room:
            raise StoreFullError("Segments can't be written fast enough, or not at all. Retry later.")

    def _answer(self, results: Iterable[Result]) -> None:
        """Wake the waiting coroutines, one call for each event loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Result]] = {}
        for result in results:
            by_loop.setdefault(result[0].loop, []).append(result)
        for loop, answers in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, answers)
            except RuntimeError:
                logger.warning("%d senders left before they could be answered", len(answers))  # their loop is closed


def _groups(log: Iterable[Record], starts: Sequence[int]) -> Iterator[list[Record]]:
    """Records as groups of at most ``_REPLAY_GROUP``, none of which reaches over a start (ascending)."""
    for _, part in groupby(log, lambda record: bisect_right(starts, record.seq)):
        while group := list(islice(part, _REPLAY_GROUP)):
            yield group


def _receipt(outcome: Outcome) -> Receipt | HomeostatError:
    if outcome.error is not None:
        return TelemetryRejectedError(outcome.error)
    return Receipt(outcome.accepted, outcome.rejected)


def _resolve(answers: list[Result]) -> None:
    for pending, answer in answers:
        if pending.answer.done():
            continue  # the sender has gone
        if isinstance(answer, HomeostatError):
            pending.answer.set_exception(answer)
        else:
            pending.answer.set_result(answer)
