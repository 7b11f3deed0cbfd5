"""``script/bench ingest``: spans over real HTTP into a real receiver, until they lie in segments.

The receiver is a process of its own, so that only its CPU counts: HTTP, log, decoding, rollups, topology, segments.
"""

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench._payload import ATTRIBUTES_PER_SPAN, Again, Payload, payload

SENDERS: Final = 8
TRACES_PER_ROUND: Final = 10_000  # ten spans each


def _send(port: int, bodies: Iterator[bytes], lock: threading.Lock) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        with lock:
            body = next(bodies, None)
        if body is None:
            connection.close()
            return
        while True:
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                break
            if response.status != 503:
                raise SystemExit(f"the receiver answered {response.status}")
            time.sleep(0.05)  # overloaded: it asked to be asked again


def _bodies(made: Payload, rounds: int) -> Iterator[bytes]:
    again = Again(made)
    for number in range(rounds):
        yield from again.round(number)


def _upb_spans_per_cpu_second(made: Payload) -> float:
    """What parsing alone costs in Python: opentelemetry-proto (upb), every attribute read into a dict."""
    bodies = made.requests[:20]
    started, spans = time.process_time(), 0
    for body in bodies:
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    attributes = {
                        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
                    }
                    spans += len(attributes) > 0
    return spans / (time.process_time() - started)


def measure(rounds: int) -> dict[str, float]:
    """Run once; flat numbers."""
    now_ns = time.time_ns()
    made = payload(TRACES_PER_ROUND, start_ns=now_ns - 60 * 10**9, length_ns=60 * 10**9)
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench._receiver", directory]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdin is not None
            assert receiver.stdout is not None
            port = json.loads(receiver.stdout.readline())["port"]
            lock, bodies = threading.Lock(), _bodies(made, rounds)
            senders = [threading.Thread(target=_send, args=(port, bodies, lock)) for _ in range(SENDERS)]
            started = time.monotonic()
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            receiver.stdin.close()
            used = json.loads(receiver.stdout.readline())
            wall_s = time.monotonic() - started
        segments = Path(directory) / "telemetry" / "segments"
        stored_bytes = sum(path.stat().st_size for path in segments.iterdir())
    spans = made.spans * rounds
    if used["spans_received"] != spans or used["spans_stored"] != spans:
        raise SystemExit(f"sent {spans} spans, {used['spans_received']} received, {used['spans_stored']} stored")
    upb = _upb_spans_per_cpu_second(made)
    per_cpu_second = spans / used["cpu_s"]
    return {
        "spans_per_cpu_second": round(per_cpu_second),
        "peak_rss_mb": round(used["peak_rss_mb"], 1),
        "bytes_per_span": round(stored_bytes / spans, 1),
        "spans": spans,
        "attributes_per_span": ATTRIBUTES_PER_SPAN,
        "wire_bytes_per_span": round(made.bytes_per_span, 1),
        "spans_per_second": round(spans / wall_s),
        "cpu_s": round(used["cpu_s"], 2),
        "rss_at_start_mb": round(used["idle_rss_mb"], 1),
        "upb_parse_only_spans_per_cpu_second": round(upb),
        "ratio_to_upb_parse_only": round(per_cpu_second / upb, 2),
    }


def main(argv: list[str] | None = None) -> None:
    """Print the numbers, one line each or as one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    parser.add_argument("--rounds", type=int, default=10, help="of 100,000 spans each (default 10)")
    options = parser.parse_args(argv)
    numbers = measure(options.rounds)
    if options.json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:40} {value:>14,}")


if __name__ == "__main__":
    main()
