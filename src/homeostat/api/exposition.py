"""The Prometheus text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Builds one answer. A value that is None is left out: absent is how Prometheus says unknown."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, help_text: str, value: float | None) -> None:
        """One counter without labels."""
        self.family(name, "counter", help_text, [({}, value)])

    def gauge(self, name: str, help_text: str, value: float | None) -> None:
        """One gauge without labels."""
        self.family(name, "gauge", help_text, [({}, value)])

    def family(
        self, name: str, kind: str, help_text: str, samples: Iterable[tuple[Mapping[str, str], float | None]]
    ) -> None:
        """Samples of one name with different labels."""
        lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples if value is not None]
        if lines:
            self._lines += [f"# HELP {name} {_help(help_text)}", f"# TYPE {name} {kind}", *lines]

    def histogram(self, name: str, help_text: str, bounds: Sequence[float], values: Sequence[float]) -> None:
        """A histogram over the values; ``bounds`` are the upper edges, ascending."""
        counts = [0] * (len(bounds) + 1)
        for value in values:
            counts[next((place for place, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
        self._lines += [f"# HELP {name} {_help(help_text)}", f"# TYPE {name} histogram"]
        edges = [*(_number(bound) for bound in bounds), "+Inf"]
        for edge, count in zip(edges, accumulate(counts), strict=True):
            self._lines.append(f'{name}_bucket{{le="{edge}"}} {count}')
        self._lines += [f"{name}_sum {_number(sum(values))}", f"{name}_count {len(values)}"]

    def bucketed(
        self,
        name: str,
        help_text: str,
        bounds: Sequence[float],
        rows: Iterable[tuple[Mapping[str, str], Sequence[int], float]],
    ) -> None:
        """Histograms that are counted already: labels, how many are at or below each bound and in all, the sum."""
        edges = [*(_number(bound) for bound in bounds), "+Inf"]
        lines: list[str] = []
        for labels, counts, total in rows:
            inner = "".join(f'{label}="{_label_value(value)}",' for label, value in labels.items())
            lines += [
                f'{name}_bucket{{{inner}le="{edge}"}} {count}' for edge, count in zip(edges, counts, strict=True)
            ]
            lines += [f"{name}_sum{_labels(labels)} {_number(total)}", f"{name}_count{_labels(labels)} {counts[-1]}"]
        if lines:
            self._lines += [f"# HELP {name} {_help(help_text)}", f"# TYPE {name} histogram", *lines]

    def text(self) -> str:
        """The whole answer."""
        return "\n".join(self._lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_label_value(value)}"' for name, value in labels.items()) + "}"


def _label_value(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) and not value.is_integer() else str(int(value))
