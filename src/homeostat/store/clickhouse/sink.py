"""Writes sealed parts of the lanes into ClickHouse: ``store.telemetry.shared.Sink``. Made by ``shared``.

Parts come at least once. Each block carries a token of the writer, its lane, its place among the requests and its
table, so that a table with a deduplication window (those that Homeostat made, replicated ones) does not store a part
twice that is repeated because no answer came. Other tables do. After a crash between the insert and the checkpoint
parts may be cut differently. Spans and points that are there twice are seen once at reading, log records twice.
"""

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from homeostat.store.clickhouse.engine import Engine

Encode = Callable[[pa.Table], Mapping[str, pa.Table]]
"""Rows of a lane as rows of tables, by the table's name."""


class ClickHouseSink:
    """The sink of one lane."""

    def __init__(self, engine: Engine, writer: str, lane: str, encode: Encode, *, at_most: int = 50_000) -> None:
        """``writer`` is unique among all that write into the database; ``at_most``: rows of one block."""
        self._engine = engine
        self._prefix = f"{writer}/{lane}"
        self._encode = encode
        self._at_most = at_most

    def write(self, tables: Sequence[pa.Table], *, first_seq: int, last_seq: int) -> None:
        """See ``Sink``. Raises StoreError."""
        whole = pa.concat_tables(tables).unify_dictionaries()
        for start in range(0, whole.num_rows, self._at_most):
            block = whole.slice(start, self._at_most).combine_chunks()
            for table, rows in self._encode(block).items():
                token = f"{self._prefix}/{first_seq}-{last_seq}/{start}/{table}"
                self._engine.insert(table, rows, token)
