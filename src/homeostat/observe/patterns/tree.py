"""Groups masked log texts into templates with Drain. Called by ``gather`` in a worker thread.

P. He, J. Zhu, Z. Zheng, M. R. Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017, as the
library drain3 has it. What a text costs depends on how many templates it is held against; texts that all differ would
take for ever, and so the comparisons are counted, and end.
"""

from collections.abc import Sequence
from typing import Any, Final

from drain3.drain import Drain, LogCluster

_SIMILARITY: Final = 0.6
"""Share of equal words that makes two texts one pattern. Higher than drain3's 0.4, because variable parts have their
names already: "connection opened" and "connection closed" are two patterns."""

_CHILDREN_MAX: Final = 100
BUDGET: Final = 20_000_000
"""Comparisons of words for one question: a second or two of CPU time."""


class _SpentError(Exception):
    """The budget is used up."""


class _CountingDrain(Drain):
    """Drain that counts its comparisons."""

    def __init__(self, budget: int) -> None:
        super().__init__(sim_th=_SIMILARITY, max_children=_CHILDREN_MAX, extra_delimiters=())
        self.left = budget

    def fast_match(
        self, cluster_ids: Sequence[Any], tokens: list[str], sim_th: float, include_params: bool
    ) -> LogCluster | None:
        """The most similar template. Raises _SpentError."""
        self.left -= len(cluster_ids) * (len(tokens) + 1)
        if self.left < 0:
            raise _SpentError
        return super().fast_match(cluster_ids, tokens, sim_th, include_params)


def templates_of(texts: Sequence[str], budget: int) -> tuple[list[str], int]:
    """The template of each text, and what is left of the budget (comparisons of words).

    The same texts in the same order have the same templates. Where the budget ends early, the answer is shorter than
    the texts: give the important ones first.
    """
    drain = _CountingDrain(budget)
    clusters: list[LogCluster] = []
    try:
        for text in texts:
            cluster, _ = drain.add_log_message(text)
            clusters.append(cluster)
    except _SpentError:
        drain.left = 0
    return [cluster.get_template() for cluster in clusters], drain.left
