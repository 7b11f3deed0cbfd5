"""One run per resource at a time. Used by ``treatment`` and ``recovery``; kept in memory, because runs are tasks."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio


@dataclass(slots=True)
class _Shared:
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    users: int = 0


class ResourceLocks:
    """A lock for each resource that is being touched, and for no other."""

    def __init__(self) -> None:
        self._held: dict[str, _Shared] = {}

    @asynccontextmanager
    async def hold(self, resource: str) -> AsyncGenerator[None]:
        """Wait until nobody else touches the resource, and keep it."""
        shared = self._held.setdefault(resource, _Shared())
        shared.users += 1
        try:
            async with shared.lock:
                yield
        finally:
            shared.users -= 1
            if not shared.users:
                del self._held[resource]
