"""A real trace store with a small shop in it, for tests of interfaces over stored traces."""

from collections.abc import Sequence
from pathlib import Path

from homeostat.core.config import StorageConfig
from homeostat.observe.decode.traces import decode
from homeostat.store.telemetry.store import EmbeddedTelemetryStore
from support.spans import CLIENT, SERVER, HandClock, S, body


def a_purchase(trace: int, at: float, *, shard: str = "1", error: bool = False, slow_ms: float = 20) -> list[S]:
    """Gateway calls payment, which asks its database; ``at`` in seconds from noon."""
    return [
        S(trace, 1, 0, "gateway", "POST /buy", SERVER, at, slow_ms + 10, error, {"customer": f"c{trace}"}),
        S(trace, 2, 1, "gateway", "POST", CLIENT, at + 0.001, slow_ms + 5, error),
        S(
            trace,
            3,
            2,
            "payment",
            "POST /pay",
            SERVER,
            at + 0.002,
            slow_ms,
            error,
            {"shard": shard, "http.response.status_code": "500" if error else "200"},
            "card declined" if error else "",
            events={"exception": {"exception.type": "Declined"}} if error else {},
        ),
    ]


def store_with(directory: Path, purchases: Sequence[Sequence[S]], clock: HandClock) -> EmbeddedTelemetryStore:
    """These traces, half of them in a segment and half in memory."""
    store = EmbeddedTelemetryStore(StorageConfig(path=directory, min_free_mib=1), clock)
    list(store.replay())
    for number, spans in enumerate(purchases):
        payload = body(spans)
        store.add(decode([payload]).spans, store.append([payload]))
        if number == len(purchases) // 2:
            store.seal()
            assert store.flush()
    return store
