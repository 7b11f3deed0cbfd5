"""Every receiver takes a good payload after a hundred bad ones. ``bench/fuzz.py`` does the same for hours."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from anyio.from_thread import start_blocking_portal
from bench._fuzz_senders import RECEIVERS, Receiver, rudeness

from homeostat.core.config import ReceiverConfig, StorageConfig
from homeostat.observe.pipeline import Pipeline, running
from homeostat.runtime import SystemClock

SEED = 7
PAYLOADS = 60
DEADLINE_S = 20.0
BOMB_BYTES = 60 << 10
OVER_THE_WIRE = [replace(receiver, bomb_bytes=BOMB_BYTES) for receiver in RECEIVERS if not receiver.is_polite]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    ports = {name: 0 for name in ReceiverConfig.model_fields if name.endswith("_port")}
    storage = StorageConfig(path=tmp_path_factory.mktemp("fuzzed"), min_free_mib=1)
    path = running(ReceiverConfig.only(max_request_mib=1, **ports), storage, SystemClock())
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(path) as running_pipeline:
        yield running_pipeline


def _port(pipeline: Pipeline, receiver: Receiver) -> int:
    own = {"otlp_http": pipeline.http_port, "otlp_grpc": pipeline.grpc_port}
    port = own.get(receiver.port) or getattr(pipeline.foreign, receiver.port)
    assert isinstance(port, int)
    return port


@pytest.mark.parametrize("receiver", OVER_THE_WIRE, ids=lambda receiver: receiver.name)
def test_a_receiver_lives_through_bad_payloads(pipeline: Pipeline, receiver: Receiver) -> None:
    chance, port = random.Random(f"{SEED} {receiver.name}"), _port(pipeline, receiver)
    seeds = [receiver.good(chance.randbytes(16)) for _ in range(2)]
    sender = receiver.connect(port)
    try:
        with rudeness(chance, port, 0 if receiver.is_datagram else 8):
            for _ in range(PAYLOADS):
                payload, packed = receiver.bad(chance, seeds)
                sender.send(payload, packed=packed)
        before, until = pipeline.counters.spans_received, time.monotonic() + DEADLINE_S
        taken = False
        while not taken and time.monotonic() < until:
            taken = sender.send(receiver.good(chance.randbytes(16)))
            taken = taken or (receiver.is_datagram and pipeline.counters.spans_received > before)
        assert taken
    finally:
        sender.close()
