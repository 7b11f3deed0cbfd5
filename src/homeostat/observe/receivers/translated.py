"""What a foreign protocol's translators hand to its HTTP receiver (``foreign_http``)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Translated:
    """What became of a body."""

    request: bytes  # OTLP
    without_time: int = 0  # spans that say nowhere when they were: left out
