"""One thread that writes, many tasks that wait for it: the group commit of the control state. Used by ``sqlite``.

A write is acknowledged after its transaction has been committed and, with ``synchronous=FULL``, flushed to the disk.
One flush costs milliseconds whatever it covers, so the thread takes everything that is waiting into one transaction:
the more tasks write at once, the less each of them pays.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import SQLAlchemyError

from homeostat.core.errors import StoreCorruptError, StoreError, StoreFullError
from homeostat.store.state.failures import translate
from homeostat.store.state.statements import Row

logger = logging.getLogger(__name__)

PENDING_MAX = 4096
"""Writes that may wait; a further one waits for a place, which slows its task down and nothing else."""

BATCH_MAX = 512
"""Writes in one transaction."""


@dataclass(frozen=True, slots=True)
class Write:
    """What one caller wants written, all of it or nothing.

    ``rows`` are grouped by statement over the whole batch: they must not depend on the order between statements.
    Where they would, ``call`` does the work by itself.
    """

    rows: tuple[tuple[Executable, Row], ...] = ()
    call: Callable[[Connection], None] | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    write: Write
    done: asyncio.Future[None]


class GroupCommitWriter:
    """Owns the only connection that writes. ``start`` and ``stop`` belong to the task that opens the store."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._places = anyio.Semaphore(PENDING_MAX, fast_acquire=True)
        self._thread = threading.Thread(target=self._run, name="state-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._broken = False
        self._taken: list[_Pending] = []  # out of the queue and not yet answered

    def start(self) -> None:
        """Begin to take writes."""
        self._open = True
        self._thread.start()

    async def stop(self) -> None:
        """Commit what is waiting and end the thread."""
        self._open = False
        self._queue.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)

    async def write(self, write: Write) -> None:
        """Return once ``write`` is on disk. Raises StoreError, and then nothing of it was written.

        A task that is cancelled while it waits cannot know: its write may still happen.
        """
        await self._places.acquire()
        if not self._open:
            self._places.release()
            raise self._closed()
        pending = _Pending(write, self._loop.create_future())
        self._queue.put(pending)
        await pending.done

    def _closed(self) -> StoreError:
        if self._broken:
            return StoreError(f"Writing to {self._path} has ended by an error (see the log). Start Homeostat again.")
        return StoreError(f"The control state at {self._path} is closed.")

    # -- in the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._engine.connect() as connection:
                while batch := self._take():
                    self._taken = batch
                    self._report(batch, self._commit(connection, batch))
                    self._taken = []
        finally:
            # Reached with an open store only when the loop above was left by an error that nobody expected: the
            # interpreter prints it, and whoever waits must not wait for ever.
            if self._open:
                self._broken = True
                self._open = False
                logger.critical("the writer of %s has ended; nothing is recorded any more", self._path)
            self._fail_the_rest()

    def _take(self) -> list[_Pending]:
        """Everything that waits, up to the size of a batch; empty when it is time to stop."""
        first = self._queue.get()
        if first is None:
            return []
        batch = [first]
        while len(batch) < BATCH_MAX:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                break
            if following is None:
                self._queue.put(None)  # seen again after this batch
                break
            batch.append(following)
        return batch

    def _commit(self, connection: Connection, batch: list[_Pending]) -> list[StoreError | None]:
        """One transaction for all. Where it fails, one each, so that a bad write fails alone."""
        try:
            with connection.begin():
                self._execute(connection, batch)
        except SQLAlchemyError as error:
            failure = translate(error, self._path)
            hopeless = isinstance(failure, StoreFullError | StoreCorruptError)
            if len(batch) == 1 or hopeless:
                logger.error("%s", failure)
                return [failure] * len(batch)
            return [outcome for pending in batch for outcome in self._commit(connection, [pending])]
        return [None] * len(batch)

    @staticmethod
    def _execute(connection: Connection, batch: list[_Pending]) -> None:
        grouped: dict[Executable, list[Row]] = {}
        for pending in batch:
            for statement, row in pending.write.rows:
                grouped.setdefault(statement, []).append(row)
        for statement, rows in grouped.items():
            connection.execute(statement, rows)
        for pending in batch:
            if pending.write.call is not None:
                pending.write.call(connection)

    def _report(self, batch: list[_Pending], outcomes: list[StoreError | None]) -> None:
        self._loop.call_soon_threadsafe(self._settle, batch, outcomes)

    def _fail_the_rest(self) -> None:
        rest = list(self._taken)
        while True:
            try:
                pending = self._queue.get_nowait()
            except queue.Empty:
                break
            if pending is not None:
                rest.append(pending)
        if rest:
            self._report(rest, [self._closed()] * len(rest))

    # -- back in the event loop -------------------------------------------------------------------------------

    def _settle(self, batch: list[_Pending], outcomes: list[StoreError | None]) -> None:
        for pending, failure in zip(batch, outcomes, strict=True):
            self._places.release()
            if pending.done.done():
                continue  # its task was cancelled
            if failure is None:
                pending.done.set_result(None)
            else:
                pending.done.set_exception(failure)
