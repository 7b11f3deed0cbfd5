"""How many requests, and how many bytes of them, may be in memory before the intake has taken them. Used by HTTP.

The intake bounds what waits for it; this bounds what is still being read, unpacked or handed over.
"""

from collections.abc import Generator
from contextlib import contextmanager

from homeostat.observe.receivers.refusal import GRPC_UNAVAILABLE, Refusal, RefusedError


class Place:
    """What one request holds. Given back as a whole when its block in ``Room.place`` is left."""

    __slots__ = ("_room", "held")

    def __init__(self, room: "Room") -> None:
        self._room = room
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more. Raises RefusedError when that is too much for all together."""
        self._room.take(size)
        self.held += size

    def give_back(self) -> None:
        """Hold no bytes any more: what was read is thrown away."""
        self._room.give_back(self.held)
        self.held = 0


class Room:
    """The bounds, and what is held now. For one event loop."""

    def __init__(self, *, requests_max: int, bytes_max: int) -> None:
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._requests = 0
        self._bytes = 0

    @contextmanager
    def place(self) -> Generator[Place]:
        """Room for one request. Raises RefusedError when there are too many."""
        if self._requests >= self._requests_max:
            raise _no_room(f"{self._requests} requests are being read already")
        self._requests += 1
        place = Place(self)
        try:
            yield place
        finally:
            self._requests -= 1
            place.give_back()

    def take(self, size: int) -> None:
        """Hold so many bytes more."""
        if self._bytes + size > self._bytes_max:
            raise _no_room(f"{self._bytes >> 20} MiB of requests are being read already")
        self._bytes += size

    def give_back(self, size: int) -> None:
        """Hold so many bytes less."""
        self._bytes -= size


def _no_room(why: str) -> RefusedError:
    return RefusedError(Refusal(503, GRPC_UNAVAILABLE, "overloaded", f"{why}. Retry in a moment.", retry_after_s=1))
