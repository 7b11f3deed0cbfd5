/**
 * From the columns of a trace to the rows of a waterfall. Pure, without recursion (a chain of 10,000 spans must not
 * overflow the stack), in time linear in the number of spans but for sorting, and tolerant: parents may be missing,
 * clocks may disagree, ids may form a ring.
 */

import { KINDS, NO_PARENT, PARENT_MISSING, SPAN_ID_DIGITS, STATUS_ERROR, STATUSES, type TraceColumns } from "../../api/traceColumns";
import { serviceColors } from "../../lib/colors";

export interface Row {
  id: string;
  service: string;
  name: string;
  kind: string;
  status: string;
  startMs: number; // from the beginning of the trace
  durationMs: number;
  selfMs: number; // time in which no child was running
  failed: boolean;
  errorOrigin: boolean; // an error that no child explains: it began here
  depth: number;
  children: number;
  descendants: number;
  loose: "" | "orphan" | "ring"; // a root because its parent was not stored, or because a ring was cut open here
  position: number; // among its siblings, from 1
  siblings: number;
}

export interface ServiceTally {
  service: string;
  spans: number;
  errors: number;
}

export interface Layout {
  rows: Row[]; // depth first, siblings by start
  root: Row | undefined; // that stands for the trace: the first that names no parent, or else the first
  durationMs: number;
  services: ServiceTally[]; // the most spans first
  colors: ReadonlyMap<string, string>; // custom property per service
  errors: number;
}

const NANOS_PER_MS = 1e6;
const NONE = -1;
const RING = -3;

/** Each span's times in milliseconds, shifted where its clock contradicts its parent's. */
interface Times {
  start: Float64Array;
  duration: Float64Array;
  begin: number;
  end: number;
}

function at(list: ArrayLike<number>, index: number): number {
  return list[index] ?? NONE;
}

export function spanId(columns: TraceColumns, index: number): string {
  return columns.span_ids.slice(index * SPAN_ID_DIGITS, (index + 1) * SPAN_ID_DIGITS);
}

function timesOf(columns: TraceColumns, shiftsMs: ReadonlyMap<string, number>): Times {
  const count = columns.parents.length;
  const start = new Float64Array(count);
  const duration = new Float64Array(count);
  let begin = Infinity;
  let end = -Infinity;
  for (let index = 0; index < count; index += 1) {
    const shift = shiftsMs.size === 0 ? 0 : (shiftsMs.get(spanId(columns, index)) ?? 0);
    const from = at(columns.start_ns, index) / NANOS_PER_MS + shift;
    const length = at(columns.duration_ns, index) / NANOS_PER_MS;
    start[index] = from;
    duration[index] = length;
    if (from < begin) begin = from;
    if (from + length > end) end = from + length;
  }
  return { start, duration, begin, end };
}

/** Parents without rings: of each ring the span that starts first becomes a root. */
function soundParents(columns: TraceColumns, start: Float64Array): Int32Array {
  const parents = Int32Array.from(columns.parents);
  const state = new Uint8Array(parents.length); // 1: on the way that is being climbed, 2: known to end at a root
  for (let index = 0; index < parents.length; index += 1) {
    const way: number[] = [];
    let here = index;
    while (here >= 0 && state[here] === 0) {
      state[here] = 1;
      way.push(here);
      here = at(parents, here);
    }
    if (here >= 0 && state[here] === 1) {
      const ring = way.slice(way.indexOf(here));
      parents[ring.reduce((first, one) => (at(start, one) < at(start, first) ? one : first))] = RING;
    }
    for (const one of way) state[one] = 2;
  }
  return parents;
}

/** Children as lists through arrays: `first[parent]`, then `next[child]`, by start. Roots hang from the last place. */
interface Tree {
  parents: Int32Array;
  first: Int32Array;
  next: Int32Array;
  counts: Int32Array;
}

function treeOf(columns: TraceColumns, { start, duration }: Times): Tree {
  const parents = soundParents(columns, start);
  const count = parents.length;
  const order = Int32Array.from(parents.keys());
  // The columns come in this order unless clocks were shifted.
  const sorted = order.sort((a, b) => at(start, a) - at(start, b) || at(duration, b) - at(duration, a) || a - b);
  const first = new Int32Array(count + 1).fill(NONE);
  const next = new Int32Array(count).fill(NONE);
  const counts = new Int32Array(count + 1);
  for (let place = count - 1; place >= 0; place -= 1) {
    const index = at(sorted, place);
    const parent = at(parents, index);
    const list = parent < 0 ? count : parent;
    next[index] = at(first, list);
    first[list] = index;
    counts[list] = at(counts, list) + 1;
  }
  return { parents, first, next, counts };
}

/** What the children of a span (by start) leave of its time, and whether one of them failed. */
function belowOf(index: number, tree: Tree, times: Times, status: readonly number[]): { selfMs: number; failed: boolean } {
  const { start, duration } = times;
  const end = at(start, index) + at(duration, index);
  let reached = at(start, index);
  let covered = 0;
  let failed = false;
  for (let child = at(tree.first, index); child !== NONE; child = at(tree.next, child)) {
    if (status[child] === STATUS_ERROR) failed = true;
    const from = Math.max(at(start, child), reached);
    const to = Math.min(at(start, child) + at(duration, child), end);
    if (to > from) {
      covered += to - from;
      reached = to;
    }
  }
  return { selfMs: Math.max(0, at(duration, index) - covered), failed };
}

function looseness(parent: number): Row["loose"] {
  return parent === PARENT_MISSING ? "orphan" : parent === RING ? "ring" : "";
}

function rowsOf(columns: TraceColumns, tree: Tree, times: Times): Row[] {
  const count = columns.parents.length;
  const rows: Row[] = [];
  const rowOf = new Int32Array(count);
  const waiting: number[] = [];
  const positions = new Int32Array(count);
  const begin = (index: number) => {
    if (index === NONE) return;
    positions[index] = 1;
    waiting.push(index);
  };
  begin(at(tree.first, count));
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    const parent = at(tree.parents, index);
    const sibling = at(tree.next, index);
    if (sibling !== NONE) {
      positions[sibling] = at(positions, index) + 1;
      waiting.push(sibling);
    }
    const below = belowOf(index, tree, times, columns.status);
    const failed = columns.status[index] === STATUS_ERROR;
    rowOf[index] = rows.length;
    rows.push({
      id: spanId(columns, index),
      service: columns.services[at(columns.service, index)] ?? "",
      name: columns.names[at(columns.name, index)] ?? "",
      kind: KINDS[at(columns.kind, index)] ?? "unspecified",
      status: STATUSES[at(columns.status, index)] ?? "unset",
      startMs: at(times.start, index) - times.begin,
      durationMs: at(times.duration, index),
      selfMs: below.selfMs,
      failed,
      errorOrigin: failed && !below.failed,
      depth: parent < 0 ? 0 : (rows[at(rowOf, parent)]?.depth ?? 0) + 1,
      children: at(tree.counts, index),
      descendants: 0,
      loose: looseness(parent),
      position: at(positions, index),
      siblings: at(tree.counts, parent < 0 ? count : parent),
    });
    begin(at(tree.first, index));
  }
  countDescendants(rows);
  return rows;
}

/** From the last row to the first: every row adds itself and what is below it to the row that it hangs from. */
function countDescendants(rows: Row[]): void {
  const above: number[] = []; // by depth, what has been counted of the rows there whose parent is still to come
  for (let place = rows.length - 1; place >= 0; place -= 1) {
    const row = rows[place];
    if (row === undefined) continue;
    row.descendants = above[row.depth + 1] ?? 0;
    above[row.depth + 1] = 0;
    above[row.depth] = (above[row.depth] ?? 0) + row.descendants + 1;
  }
}

function tally(columns: TraceColumns): ServiceTally[] {
  const tallies = columns.services.map((service) => ({ service, spans: 0, errors: 0 }));
  columns.service.forEach((service, index) => {
    const entry = tallies[service];
    if (entry === undefined) return;
    entry.spans += 1;
    if (columns.status[index] === STATUS_ERROR) entry.errors += 1;
  });
  return tallies.sort((a, b) => b.spans - a.spans);
}

const NO_SHIFTS: ReadonlyMap<string, number> = new Map();

export function layoutTrace(columns: TraceColumns, shiftsMs = NO_SHIFTS): Layout {
  const times = timesOf(columns, shiftsMs);
  const rows = rowsOf(columns, treeOf(columns, times), times);
  const services = tally(columns);
  const rootId = spanId(columns, columns.parents.indexOf(NO_PARENT));
  return {
    rows,
    root: rows.find((row) => row.depth === 0 && row.id === rootId) ?? rows[0],
    durationMs: rows.length === 0 ? 0 : Math.max(times.end - times.begin, 0),
    services,
    colors: serviceColors(columns.services),
    errors: services.reduce((sum, one) => sum + one.errors, 0),
  };
}

/** The rows that are on the screen when the given spans are folded up. */
export function visibleRows(rows: readonly Row[], collapsed: ReadonlySet<string>): readonly Row[] {
  if (collapsed.size === 0) return rows;
  const visible: Row[] = [];
  for (let index = 0; index < rows.length; index += 1) {
    const row = rows[index];
    if (row === undefined) break;
    visible.push(row);
    if (collapsed.has(row.id)) index += row.descendants;
  }
  return visible;
}

/** Round marks for the time axis: at most `most`, at 1, 2 or 5 times a power of ten. */
export function axisTicks(durationMs: number, most = 6): number[] {
  if (durationMs <= 0) return [0];
  const rough = durationMs / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? rough;
  const ticks: number[] = [];
  for (let tick = 0; tick <= durationMs; tick += step) ticks.push(tick);
  return ticks;
}
