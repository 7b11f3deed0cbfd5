"""Answers questions about metrics from hot tables and segments. Called by ``metric_store`` in a worker thread."""

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from homeostat.core.errors import BadRequestError, StoreCorruptError
from homeostat.core.metrics import Exemplar, MetricInfo, MetricQuery, MetricSeries
from homeostat.store.telemetry.arrow import pc
from homeostat.store.telemetry.metric_math import Floats, Numbers
from homeostat.store.telemetry.metric_schema import METRIC_SCHEMA, NO_RECORDED_VALUE
from homeostat.store.telemetry.metric_segment import SERIES_COLUMNS, MetricEntry, MetricSegment, entries_of, ranks
from homeostat.store.telemetry.metric_series import Points, Steps, aggregate, chosen_aggregation, type_of
from homeostat.store.telemetry.rows import from_ns, to_ns
from homeostat.store.telemetry.schema import column

logger = logging.getLogger(__name__)

_STEPS_MAX: Final = 50_000
_CELLS_MAX: Final = 8_000_000
_POINTS_MAX: Final = 5_000_000  # of one question: what reading them takes is bounded
_EXEMPLARS_MAX: Final = 1_000
_EXEMPLARS_SLICE: Final = 1_000
_SERVICE: Final = "service.name"

_NEVER_ASKED: Final = {"description", "exemplars"}
_COLUMNS: Final = [name for name in METRIC_SCHEMA.names if name not in _NEVER_ASKED]

Labels = dict[str, str]


def find_metrics(
    hot: Sequence[pa.Table],
    segments: Sequence[MetricSegment],
    since_ns: int,
    contains: str,
    limit: int,
    elsewhere: Sequence[MetricEntry] = (),
) -> list[MetricInfo]:
    """Metrics with a point since then, by name. What is newest says what a metric is."""
    found: dict[str, MetricInfo] = {}
    wanted = contains.lower()
    entries = [entry for table in hot if table.num_rows for entry in entries_of(_by_name(table))]
    entries += elsewhere
    for segment in segments:
        if segment.info.max_start_ns < since_ns:
            continue
        try:
            entries += segment.index.entries
        except StoreCorruptError as error:
            logger.error("%s", error)
    for entry in sorted(entries, key=lambda entry: entry.last_ns, reverse=True):
        if entry.last_ns < since_ns or wanted not in entry.name.lower():
            continue
        known = found.get(entry.name)
        services = {*entry.services, *(known.services if known else ())}
        more = entry.more_services or (known is not None and known.more_services)
        found[entry.name] = (
            known.model_copy(update={"services": tuple(sorted(services)), "more_services": more})
            if known
            else MetricInfo(
                name=entry.name,
                type=type_of(entry.type),
                unit=entry.unit,
                description=entry.description,
                monotonic=entry.monotonic,
                services=tuple(sorted(services)),
                more_services=more,
            )
        )
    return [found[name] for name in sorted(found)][:limit]


def _by_name(table: pa.Table) -> pa.Table:
    order = np.argsort(ranks(column(table, "name")), kind="stable")
    return table.take(pa.array(order)).combine_chunks()


def _rows(
    hot: Sequence[pa.Table],
    segments: Sequence[MetricSegment],
    query: MetricQuery,
    time: tuple[int, int],
    columns: list[str],
) -> pa.Table:
    """The points of the metric with times in ``[time[0], time[1])``, in any order.

    Raises BadRequestError, before anything is read, when they may be too many.
    """
    recent = [_within(part.select(columns), time) for part in _of_hot(hot, query.name)]
    entries = list(_entries(segments, query.name, time))
    rows = sum(part.num_rows for part in recent) + sum(entry.stop - entry.start for _, entry in entries)
    if rows > _POINTS_MAX:
        raise BadRequestError(
            f"{query.name} may have {rows:,} points in that time, more than {_POINTS_MAX:,}. Ask for less time."
        )
    tables = [METRIC_SCHEMA.empty_table().select(columns), *recent]
    for segment, entry in entries:
        try:
            tables.append(_within(segment.points(entry, columns), time))
        except StoreCorruptError as error:
            logger.error("%s", error)
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _entries(
    segments: Sequence[MetricSegment], name: str, time: tuple[int, int]
) -> Iterator[tuple[MetricSegment, MetricEntry]]:
    """Where points of a metric may be: the indexes say it, no points are read."""
    for segment in segments:
        if segment.info.max_start_ns < time[0] or segment.info.min_start_ns >= time[1]:
            continue
        try:
            entry = segment.index.find(name)
        except StoreCorruptError as error:
            logger.error("%s", error)
            continue
        if entry is not None and entry.last_ns >= time[0] and entry.first_ns < time[1]:
            yield segment, entry


def _of_hot(hot: Sequence[pa.Table], name: str) -> Iterator[pa.Table]:
    for table in hot:
        names = column(table, "name")
        codes = np.flatnonzero(pc.equal(names.dictionary, name).to_numpy(zero_copy_only=False))
        if len(codes):
            yield table.filter(pa.array(np.isin(names.indices.to_numpy(), codes)))


def _within(table: pa.Table, time: tuple[int, int]) -> pa.Table:
    times = column(table, "time_ns").to_numpy()
    inside = (times >= time[0]) & (times < time[1])
    return table if inside.all() else table.filter(pa.array(inside))


def find_series(hot: Sequence[pa.Table], segments: Sequence[MetricSegment], query: MetricQuery) -> list[MetricSeries]:
    """The series of a query. Raises BadRequestError for what the metric's type has not, or too much at once."""
    steps = steps_of(query)
    table = _rows(hot, segments, query, steps.read_ns, _COLUMNS)
    if not table.num_rows:
        return []
    newest = int(np.argmax(column(table, "time_ns").to_numpy()))
    kind = type_of(table["type"][newest].as_py())
    monotonic = bool(table["monotonic"][newest].as_py())
    wanted = chosen_aggregation(query, kind, monotonic=monotonic)
    recorded = (column(table, "flags").to_numpy() & NO_RECORDED_VALUE) == 0
    same_type = column(table, "type").to_numpy() == table["type"][newest].as_py()
    points, labels = _points(table.filter(pa.array(recorded & same_type)), query)
    if points.groups * steps.count > _CELLS_MAX:
        raise BadRequestError(f"{points.groups} series of {steps.count} steps are too much. Ask for longer steps.")
    values = aggregate(points, kind, wanted, steps, query.quantile)
    return [
        MetricSeries(
            name=query.name,
            labels=labels[line],
            start_s=steps.begin_ns // 10**9,
            step_s=query.step_s,
            values=_plain(values[line]),
        )
        for line in range(points.groups)
        if np.isfinite(values[line]).any()
    ]


def _plain(row: Floats) -> tuple[float | None, ...]:
    there = np.isfinite(row).tolist()
    return tuple(value if is_there else None for value, is_there in zip(row.tolist(), there, strict=True))


def steps_of(query: MetricQuery) -> Steps:
    """The steps of a query's time. Raises BadRequestError when there are none, or too many."""
    begin_ns, step_ns = to_ns(query.start) // 10**9 * 10**9, query.step_s * 10**9
    count = -(-(to_ns(query.end) - begin_ns) // step_ns)
    if not 0 < count <= _STEPS_MAX:
        raise BadRequestError(
            f"{count} steps can't be answered (1 to {_STEPS_MAX:,}). End after the start, or ask for longer steps."
        )
    return Steps(begin_ns, step_ns, count, to_ns(query.end))


def _points(table: pa.Table, query: MetricQuery) -> tuple[Points, list[Labels]]:
    """The points of the series that the query wants, sorted, each once; and the labels of each line."""
    examples, of_row = _series_of(table)
    labels = [_labels(table, row) for row in examples]
    line_of: dict[str, int] = {}
    lines: list[Labels] = []
    number_of = np.full(len(examples), -1, dtype=np.int64)
    group: list[int] = []
    shown = _shown([own | resource for own, resource in labels], query)
    for at, (own, resource) in enumerate(labels):
        whole = resource | own
        if not _matches(whole, query):
            continue
        line = {name: whole.get(name, "") for name in query.group_by} if query.group_by is not None else None
        line = own | {name: whole[name] for name in shown if name in whole} if line is None else line
        key = f"{at}" if query.group_by is None else json.dumps(line)
        if key not in line_of:
            if len(lines) >= query.limit:
                continue
            line_of[key] = len(lines)
            lines.append(line)
        number_of[at] = len(group)
        group.append(line_of[key])
    rows = np.flatnonzero(number_of[of_row] >= 0)
    series, times = number_of[of_row][rows], column(table, "time_ns").to_numpy()[rows]
    order = np.lexsort([times, series])
    rows, series, times = rows[order], series[order], times[order]
    fresh = np.ones(len(rows), dtype=np.bool_)  # a sender that got no answer sends again
    fresh[1:] = (series[1:] != series[:-1]) | (times[1:] != times[:-1])
    points = table.take(pa.array(rows[fresh])).combine_chunks()
    return Points(points, series[fresh], np.array(group, dtype=np.int64), len(lines)), lines


def _series_of(table: pa.Table) -> tuple[list[int], Numbers]:
    """One row of each series, and the series of each row."""
    codes = [column(table, name).indices.to_numpy().astype(np.int64) for name in SERIES_COLUMNS]
    codes.append(column(table, "temporality").to_numpy().astype(np.int64))
    first, of_row = np.zeros(min(table.num_rows, 1), dtype=np.int64), np.zeros(table.num_rows, dtype=np.int64)
    for numbers in codes:  # column by column: numbers sort far quicker than rows of them
        if table.num_rows and numbers.min() < numbers.max():
            pairs = of_row * (int(numbers.max()) + 1) + numbers
            _, first, of_row = np.unique(pairs, return_index=True, return_inverse=True)
    return first.tolist(), of_row


def _labels(table: pa.Table, row: int) -> tuple[Labels, Labels]:
    """A series' own labels, and what its resource says (the service by its name of OpenTelemetry)."""
    own, resource, service = (table.column(name)[row].as_py() for name in ("labels", "resource", "service"))
    return json.loads(own or "{}"), json.loads(resource or "{}") | {_SERVICE: service}


def _shown(labels: list[Labels], query: MetricQuery) -> list[str]:
    """Of the resources: the service, and what tells the series apart."""
    matching = [entry for entry in labels if _matches(entry, query)]
    names = {name for entry in matching for name in entry}
    return sorted(name for name in names if name == _SERVICE or len({entry.get(name) for entry in matching}) > 1)


def _matches(labels: Labels, query: MetricQuery) -> bool:
    if query.service is not None and labels.get(_SERVICE) != query.service:
        return False
    return all(labels.get(name) == value for name, value in query.labels.items())


def find_exemplars(hot: Sequence[pa.Table], segments: Sequence[MetricSegment], query: MetricQuery) -> list[Exemplar]:
    """Exemplars that name a trace, newest first. Raises BadRequestError for too many points at once."""
    columns = ["service", "resource", "labels", "time_ns", "exemplars"]
    end_ns = to_ns(query.end)
    table = _rows(hot, segments, query, (to_ns(query.start), end_ns), columns)
    at_most = min(query.limit, _EXEMPLARS_MAX)
    found: dict[tuple[object, ...], Exemplar] = {}
    for row in _newest_exemplars(table):
        if len(found) >= at_most:
            break
        own: Labels = json.loads(row["labels"])
        labels: Labels = json.loads(row["resource"]) | {_SERVICE: row["service"]} | own
        entry = row["exemplar"]
        if not entry["trace_id"] or entry["value"] is None or not _matches(labels, query):
            continue
        exemplar = Exemplar(
            time=from_ns(entry["time_ns"]),
            value=entry["value"],
            trace_id=entry["trace_id"].hex(),
            span_id=entry["span_id"].hex(),
            labels=own | dict(entry["attributes"]),
        )
        found.setdefault((exemplar.time, exemplar.trace_id, exemplar.span_id, exemplar.value), exemplar)
    return list(found.values())


def _newest_exemplars(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Exemplars beside what their point says, newest first, made slice by slice, as far as they are read."""
    lists = column(table, "exemplars")
    flat, parent = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
    order = np.argsort(-pc.struct_field(flat, "time_ns").to_numpy(), kind="stable")
    for first in range(0, len(order), _EXEMPLARS_SLICE):
        rows = order[first : first + _EXEMPLARS_SLICE]
        part = table.select(["service", "resource", "labels"]).take(pa.array(parent[rows]))
        yield from part.append_column("exemplar", flat.take(pa.array(rows))).to_pylist()
