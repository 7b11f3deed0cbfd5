"""A Jaeger batch as its Thrift and its protobuf form agree on it. ``jaeger_translate`` makes OTLP of it."""

from dataclasses import dataclass, field

Value = str | bool | int | float | bytes


@dataclass(frozen=True, slots=True)
class Tag:
    """A key and a value of one of Jaeger's five types."""

    key: str
    value: Value


@dataclass(frozen=True, slots=True)
class Log:
    """A moment in a span, with what was said about it."""

    time_ns: int
    fields: list[Tag]


@dataclass(frozen=True, slots=True)
class Reference:
    """From one span to another, of this or another trace. The ids are as long as they should be, or empty."""

    trace_id: bytes
    span_id: bytes
    follows: bool  # FOLLOWS_FROM; else CHILD_OF


@dataclass(frozen=True, slots=True)
class Process:
    """Who made the spans."""

    service: str
    tags: list[Tag] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """One operation. Ids of another length than 16 and 8 bytes are kept, so that the span is refused and counted."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes  # empty: none was given apart from the references
    name: str
    start_ns: int
    duration_ns: int
    flags: int = 0
    references: list[Reference] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    process: Process | None = None  # None: the batch's


@dataclass(frozen=True, slots=True)
class Batch:
    """What one message holds."""

    process: Process | None
    spans: list[Span]
