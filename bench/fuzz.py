"""``script/bench fuzz``: bad payloads for every receiver of a running telemetry path, which has to live and answer.

Good payloads are spoiled by bytes and by grammar, bombs and rude connections are mixed in; after each batch the
process must live and take a good payload within a bound.
``python -m bench.fuzz --seconds 600 --receiver all --json``.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO, Final

import psutil

from bench._fuzz_senders import RECEIVERS, BadAnswerError, HangError, Receiver, Sender, rudeness, show

BATCH: Final = 100
RUDE_EVERY: Final = 20  # batches
RUDE_CONNECTIONS: Final = 30
GOOD_S: Final = 60.0
"""A good payload is taken within this time, 503 and sending again included. More is a hang."""

RSS_MB_MAX: Final = 2048
"""More than this is memory without a bound."""

RSS_EVERY_S: Final = 0.05


class Target:
    """The process under fire."""

    def __init__(self, folder: Path) -> None:
        self._log: IO[bytes] = (folder / "log").open("wb")
        self.log_path = folder / "log"
        shown = show()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench._fuzz_target", str(folder / "data"), str(shown)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout is not None
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline()) | {"prometheus_scrape": shown}
        self._asking = threading.Lock()
        self.peak_rss_mb = 0.0
        self._watching = True
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: str) -> object:
        """One question, one answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._asking:
            stdin.write(question + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

    def _watch(self) -> None:
        process = psutil.Process(self._process.pid)
        while self._watching:
            try:
                self.peak_rss_mb = max(self.peak_rss_mb, process.memory_info().rss / (1 << 20))
            except psutil.Error:
                return
            time.sleep(RSS_EVERY_S)

    def stop(self) -> bool:
        """End it as it is ended in life; False when it does not."""
        self._watching = False
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(60) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            self._log.close()


class Attack:
    """One receiver's share of a run; ``run`` is a thread's body."""

    def __init__(self, receiver: Receiver, target: Target, seed: int, keep: Path) -> None:
        self._receiver, self._target, self._keep = receiver, target, keep
        self._chance = random.Random(f"{receiver.name} {seed}")
        self.found: Counter[str] = Counter(payloads=0, taken=0, crashes=0, hangs=0, bad_answers=0)
        self.good_ms_max = self.bad_ms_max = 0.0

    def run(self, until: float) -> None:
        """Batches until the time is up, or the process is gone."""
        batch = 0
        while time.monotonic() < until and not self.found["crashes"]:
            sender = self._receiver.connect(self._target.ports[self._receiver.port])
            try:
                if batch % RUDE_EVERY == 0 and not (self._receiver.is_datagram or self._receiver.is_polite):
                    with rudeness(self._chance, self._target.ports[self._receiver.port], RUDE_CONNECTIONS):
                        self._batch(sender, until)
                else:
                    self._batch(sender, until)
                self._check(sender)
            finally:
                sender.close()
            batch += 1

    def _batch(self, sender: Sender, until: float) -> None:
        seeds = [self._receiver.good(self._chance.randbytes(16)) for _ in range(3)]
        for _ in range(BATCH):
            payload, packed = self._receiver.bad(self._chance, seeds)
            began = time.monotonic()
            try:
                self.found["taken"] += sender.send(payload, packed=packed)
            except HangError:
                self._note("hangs", payload)
            except BadAnswerError as error:
                print(f"{self._receiver.name}: {error}", file=sys.stderr)
                self._note("bad_answers", payload)
            self.found["payloads"] += 1
            took_ms = 1000 * (time.monotonic() - began)
            if took_ms > self.bad_ms_max:
                self.bad_ms_max = took_ms
                (self._keep / f"{self._receiver.name}-slowest").write_bytes(payload)
            if time.monotonic() > until or not self._target.lives:
                return

    def _note(self, what: str, payload: bytes) -> None:
        self.found[what] += 1
        (self._keep / f"{self._receiver.name}-{what}-{self.found[what]}").write_bytes(payload)

    def _check(self, sender: Sender) -> None:
        """It lives, and takes what is good."""
        began = time.monotonic()
        while time.monotonic() < began + GOOD_S:
            if not self._target.lives:
                self.found["crashes"] += 1
                return
            trace_id = self._chance.randbytes(16)
            try:
                if sender.send(self._receiver.good(trace_id)) or self._arrives(trace_id):
                    self.good_ms_max = max(self.good_ms_max, 1000 * (time.monotonic() - began))
                    return
            except (HangError, BadAnswerError) as error:
                print(f"{self._receiver.name}: a good payload: {error!r}", file=sys.stderr)
            time.sleep(0.05)
        self.found["hangs"] += 1

    def _arrives(self, trace_id: bytes) -> bool:
        """Whether a datagram's trace is there soon."""
        if not self._receiver.is_datagram:
            return False
        for _ in range(40):
            if self._target.ask(f"trace {trace_id.hex()}"):
                return True
            time.sleep(0.05)
        return False


def _attack(receivers: list[Receiver], seconds: float, seed: int, keep: Path) -> dict[str, float]:
    """One process, these receivers at once."""
    with tempfile.TemporaryDirectory(prefix="homeostat-fuzz-") as folder:
        target = Target(Path(folder))
        attacks = [Attack(receiver, target, seed, keep) for receiver in receivers]
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=attack.run, args=(until,)) for attack in attacks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counters = target.ask("counters") if target.lives else {}
        stopped = target.stop()
        log = target.log_path.read_text(encoding="utf-8", errors="replace")
    result: dict[str, float] = {}
    for receiver, attack in zip(receivers, attacks, strict=True):
        result |= {f"{receiver.name}_{what}": count for what, count in attack.found.items()}
        result[f"{receiver.name}_good_ms_max"] = round(attack.good_ms_max, 1)
        result[f"{receiver.name}_bad_ms_max"] = round(attack.bad_ms_max, 1)
        result[f"{receiver.name}_peak_rss_mb"] = round(target.peak_rss_mb, 1)
    result["unclean_stops"] = not stopped
    result["tracebacks"] = log.count("Traceback")
    result["stalls"] = log.count("Timeout (")  # of the event loop
    if result["tracebacks"] or result["stalls"] or not stopped:
        (keep / f"log-{receivers[0].name}").write_text(log, encoding="utf-8")
    print(json.dumps(counters), file=sys.stderr)
    return result


def measure(names: list[str], seconds: float, *, seed: int, together: bool, keep: Path) -> dict[str, float]:
    """Run; flat numbers. ``seconds`` for each receiver, or for all of them at once."""
    chosen = [receiver for receiver in RECEIVERS if receiver.name in names]
    result: Counter[str] = Counter()
    for group in [chosen] if together else [[receiver] for receiver in chosen]:
        result.update(_attack(group, seconds, seed, keep))
    for what in ("payloads", "taken", "crashes", "hangs", "bad_answers"):
        result[what] = sum(result[f"{name}_{what}"] for name in names)
    result["peak_rss_mb"] = max(result[f"{name}_peak_rss_mb"] for name in names)
    return dict(result)


def main() -> int:
    """Exit code 1 when something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [receiver.name for receiver in RECEIVERS]
    parser.add_argument("--receiver", action="append", choices=[*names, "all"], help="may be repeated; default: all")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each receiver")
    parser.add_argument("--together", action="store_true", help="all at once, in one process")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--keep", type=Path, default=Path(".bench/fuzz"), help="where what did harm is kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    wanted = names if not options.receiver or "all" in options.receiver else options.receiver
    result = measure(wanted, options.seconds, seed=options.seed, together=options.together, keep=options.keep)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:36} {value:>12,.1f}")
    bad = sum(result[what] for what in ("crashes", "hangs", "bad_answers", "unclean_stops", "tracebacks"))
    return 1 if bad or result["peak_rss_mb"] > RSS_MB_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
