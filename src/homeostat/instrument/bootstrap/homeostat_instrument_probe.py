"""Tells ``homeostat instrument doctor``, from inside the program, what was hooked and how many spans each hook made.

Started by ``sitecustomize`` beside it. Writes ``<folder>/<pid>.json`` twice a second and at exit, also in forked
workers; a reader never sees half a file.
"""

import atexit
import json
import os
import sys
import threading
from collections import Counter
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

_EVERY_S = 0.5


class _CountSpans(SpanProcessor):
    def __init__(self) -> None:
        self.by_scope: Counter[str] = Counter()

    def on_end(self, span: ReadableSpan) -> None:
        scope = span.instrumentation_scope
        self.by_scope[scope.name if scope is not None else ""] += 1


def start(folder: str) -> None:
    """Begin to report into the folder. Called once, when the instrumentation has been set up."""
    counter = _CountSpans()
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.add_span_processor(counter)
    report = _Report(Path(folder), counter)
    report.begin()
    atexit.register(report.write)
    os.register_at_fork(after_in_child=report.begin)


class _Report:
    def __init__(self, folder: Path, counter: _CountSpans) -> None:
        self._folder = folder
        self._counter = counter

    def begin(self) -> None:
        threading.Thread(target=self._keep_writing, name="homeostat-probe", daemon=True).start()

    def _keep_writing(self) -> None:
        pause = threading.Event()
        while not pause.wait(_EVERY_S):
            self.write()

    def write(self) -> None:
        try:
            path = self._folder / f"{os.getpid()}.{threading.get_ident()}.tmp"
            path.write_text(json.dumps(self._content()), encoding="utf-8")
            path.replace(self._folder / f"{os.getpid()}.json")
        except OSError as error:  # the doctor has gone: nobody reads it any more
            print(f"homeostat instrument: the report can't be written: {error}", file=sys.stderr)

    def _content(self) -> dict[str, object]:
        hooks = [_hook(entry) for entry in entry_points(group="opentelemetry_instrumentor")]
        return {"pid": os.getpid(), "hooks": hooks, "spans": dict(self._counter.by_scope)}


def _hook(entry: Any) -> dict[str, object]:
    """One instrumentation: hooked or not, and why not."""
    module = entry.value.partition(":")[0]
    package = entry.dist.name if entry.dist is not None else ""
    answer: dict[str, object] = {"name": entry.name, "module": module, "package": package, "hooked": False, "why": ""}
    disabled = [part.strip() for part in os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")]
    if entry.name in disabled or "*" in disabled:
        return answer | {"why": "disabled by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"}
    conflict = get_dist_dependency_conflicts(entry.dist) if entry.dist is not None else None
    if conflict is not None:
        return answer | {"why": str(conflict)}
    if module not in sys.modules:
        return answer | {"why": "its library can't be imported, or the instrumentation was not set up"}
    made = getattr(sys.modules[module], entry.value.partition(":")[2], None)
    hooked = made is not None and bool(made().is_instrumented_by_opentelemetry)
    return answer | {
        "hooked": hooked,
        "why": "" if hooked else "its setting up failed; the program's output says why",
    }
