"""A Zipkin v2 span as its JSON and its protobuf form agree on it. ``zipkin_translate`` makes OTLP of it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a connection; what is not known is empty or 0."""

    service: str = ""
    ipv4: str = ""
    ipv6: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Annotation:
    """A moment in a span. Microseconds since 1970."""

    time_us: int
    value: str


@dataclass(frozen=True, slots=True)
class Span:
    """One operation, seen by one side. Ids are as long as they should be; no parent is empty."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    kind: str  # CLIENT, SERVER, PRODUCER, CONSUMER or empty
    name: str
    time_us: int  # 0: not known
    duration_us: int
    local: Endpoint = field(default_factory=Endpoint)
    remote: Endpoint = field(default_factory=Endpoint)
    annotations: list[Annotation] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    shared: bool = False  # the client has the same id
