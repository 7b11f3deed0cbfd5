"""A little Dynatrace on a port of its own, that remembers what it was sent."""

import threading
from dataclasses import dataclass, field


@dataclass
class Dynatrace:
    """Listens on a port of its own; answers with ``status`` once ``gate`` is open."""

    status: int = 201
    answer: str = '{"reportCount":1}'
    location: str | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    received: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    url: str = ""

    @property
    def events(self) -> list[dict[str, object]]:
        return [event for _, _, event in self.received]
