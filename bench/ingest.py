"""``script/bench ingest``: spans, metrics and logs over real HTTP into a real receiver, until they lie in segments.

Each of the senders waits for its answer before it sends the next 500 spans, as an SDK's exporter does: what it takes
to serve few of them is more for each span, since fewer requests are taken in together (``--senders 8``).

The receiver is a process of its own, so that only its CPU counts: HTTP, log, decoding, rollups, topology, sampling,
segments. Traces are sampled by the policies that are built in (all that fail or take longer than a second, a tenth of
the rest); a second run keeps every trace and gets spans only. Of a hundred traces two fail and one is slow.
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
from bench._signals import LOGS_PER_ROUND, POINTS_PER_ROUND, logs, metrics

SENDERS: Final = 32  # 200,000 spans a second are a fleet's: one process's exporter hardly makes 10,000
TRACES_PER_ROUND: Final = 10_000  # ten spans each

Body = tuple[str, bytes]
"""Path and request."""


def _send(port: int, bodies: Iterator[Body], lock: threading.Lock) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while True:
        with lock:
            body = next(bodies, None)
        if body is None:
            connection.close()
            return
        while True:
            connection.request("POST", body[0], body[1], {"Content-Type": "application/x-protobuf"})
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                break
            if response.status != 503:
                raise SystemExit(f"the receiver answered {response.status}")
            time.sleep(0.05)  # overloaded: it asked to be asked again


def _others(rounds: int, now_ns: int) -> list[list[Body]]:
    """Metrics and logs of each round, made before the clock runs: an SDK's work is not what is measured."""
    begins = [now_ns - (rounds - number) * 6 * 10**9 for number in range(rounds)]
    return [
        [("/v1/metrics", body) for body in metrics(number, at_ns)]
        + [("/v1/logs", body) for body in logs(number, at_ns)]
        for number, at_ns in enumerate(begins)
    ]


def _bodies(made: Payload, rounds: int, others: list[list[Body]]) -> Iterator[Body]:
    """Everything, metrics and logs spread among the spans."""
    again = Again(made)
    for number in range(rounds):
        beside = others[number] if others else []
        every = max(1, len(made.requests) // (len(beside) + 1))
        left = iter(beside)
        for place, body in enumerate(again.round(number)):
            yield "/v1/traces", body
            if place % every == 0 and (other := next(left, None)) is not None:
                yield other
        yield from left


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


def _run(made: Payload, rounds: int, at_once: int, *, keep_all: bool) -> dict[str, float]:
    """One receiver from its start to its end: what it used, and what lies in its directory."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench._receiver", directory, *(["all"] if keep_all else [])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as receiver:
            assert receiver.stdin is not None
            assert receiver.stdout is not None
            port = json.loads(receiver.stdout.readline())["port"]
            others = [] if keep_all else _others(rounds, time.time_ns())
            lock, bodies = threading.Lock(), _bodies(made, rounds, others)
            senders = [threading.Thread(target=_send, args=(port, bodies, lock)) for _ in range(at_once)]
            started = time.monotonic()
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            receiver.stdin.close()
            used = json.loads(receiver.stdout.readline())
            used["wall_s"] = time.monotonic() - started
        telemetry = Path(directory) / "telemetry"
        for name, folder in (
            ("spans", "segments"),
            ("metrics", "metrics/segments"),
            ("logs", "logs/segments"),
            ("rollups", "attachments"),
        ):
            used[f"{name}_bytes"] = sum(path.stat().st_size for path in (telemetry / folder).iterdir())
    return used


def _checked(used: dict[str, float], expected: dict[str, int]) -> None:
    wrong = {name: (used[name], count) for name, count in expected.items() if used[name] != count}
    if wrong:
        raise SystemExit(f"not everything arrived (found, sent): {wrong}")


def measure(rounds: int, senders: int) -> dict[str, float]:
    """Run twice; flat numbers."""
    now_ns = time.time_ns()
    made = payload(TRACES_PER_ROUND, start_ns=now_ns - 60 * 10**9, length_ns=60 * 10**9)
    spans = made.spans * rounds
    used = _run(made, rounds, senders, keep_all=False)
    points, records = POINTS_PER_ROUND * rounds, LOGS_PER_ROUND * rounds
    stored = int(used["spans_stored"])
    _checked(
        used | {"spans_decided": stored + used["spans_sampled_out"]},
        {
            "spans_received": spans,
            "spans_decided": spans,
            "log_records_stored": records,
            "metric_points_stored": points,
        },
    )
    unsampled = _run(made, rounds, senders, keep_all=True)
    _checked(unsampled, {"spans_received": spans, "spans_stored": spans})
    upb = _upb_spans_per_cpu_second(made)
    per_cpu_second = spans / used["cpu_s"]
    return {
        "spans_per_cpu_second": round(per_cpu_second),
        "peak_rss_mb": round(used["peak_rss_mb"], 1),
        "bytes_per_kept_span": round(used["spans_bytes"] / stored, 1),
        "kept_share": round(stored / spans, 4),
        "senders": senders,
        "spans": spans,
        "spans_kept": stored,
        "metric_points": points,
        "log_records": records,
        "items_per_cpu_second": round((spans + points + records) / used["cpu_s"]),
        "bytes_per_metric_point": round(used["metrics_bytes"] / points, 1),
        "bytes_per_log_record": round(used["logs_bytes"] / records, 1),
        "rollup_bytes": round(used["rollups_bytes"]),
        "attributes_per_span": ATTRIBUTES_PER_SPAN,
        "wire_bytes_per_span": round(made.bytes_per_span, 1),
        "spans_per_second": round(spans / used["wall_s"]),
        "cpu_s": round(used["cpu_s"], 2),
        "rss_at_start_mb": round(used["idle_rss_mb"], 1),
        "spans_per_cpu_second_unsampled": round(spans / unsampled["cpu_s"]),
        "peak_rss_mb_unsampled": round(unsampled["peak_rss_mb"], 1),
        "bytes_per_span_unsampled": round(unsampled["spans_bytes"] / spans, 1),
        "upb_parse_only_spans_per_cpu_second": round(upb),
        "ratio_to_upb_parse_only": round(per_cpu_second / upb, 2),
    }


def main(argv: list[str] | None = None) -> None:
    """Print the numbers, one line each or as one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.ingest", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one flat JSON object")
    parser.add_argument("--rounds", type=int, default=10, help="of 100,000 spans each (default 10)")
    parser.add_argument("--senders", type=int, default=SENDERS, help=f"at once (default {SENDERS})")
    options = parser.parse_args(argv)
    numbers = measure(options.rounds, options.senders)
    if options.json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:40} {value:>14,}")


if __name__ == "__main__":
    main()
