/**
 * The spans of a trace as a tree, in arrays by their place in its columns: who hangs from whom, when each ran, what its
 * children leave of it. Read by `layout`. It runs before the first rows are painted, and only once, which is before
 * the browser has compiled it: plain loops, each helper for one kind of array.
 */

import { PARENT_MISSING, SPAN_ID_DIGITS, STATUS_ERROR, type TraceColumns } from "../../api/traceColumns";

export const NONE = -1;
export const RING = PARENT_MISSING - 1; // a root because a ring of parents was cut open here

const NANOS_PER_MS = 1e6;

export function int(list: Int32Array, index: number): number {
  return list[index] ?? NONE;
}

export function float(list: Float64Array, index: number): number {
  return list[index] ?? NONE;
}

export function spanId(columns: TraceColumns, index: number): string {
  return columns.span_ids.slice(index * SPAN_ID_DIGITS, (index + 1) * SPAN_ID_DIGITS);
}

/** Each span's times in milliseconds, shifted where its clock contradicts its parent's. */
export interface Times {
  start: Float64Array;
  duration: Float64Array;
  begin: number;
  end: number;
}

export function timesOf(columns: TraceColumns, shiftsMs: ReadonlyMap<string, number>): Times {
  const start = new Float64Array(columns.start_ns);
  const duration = new Float64Array(columns.duration_ns);
  let begin = Infinity;
  let end = -Infinity;
  for (let index = 0; index < start.length; index += 1) {
    const shift = shiftsMs.size === 0 ? 0 : (shiftsMs.get(spanId(columns, index)) ?? 0);
    const from = float(start, index) / NANOS_PER_MS + shift;
    const length = float(duration, index) / NANOS_PER_MS;
    start[index] = from;
    duration[index] = length;
    if (from < begin) begin = from;
    if (from + length > end) end = from + length;
  }
  return { start, duration, begin, end };
}

/** Parents without rings: of each ring the span that starts first becomes a root. */
function soundParents(columns: TraceColumns, start: Float64Array): Int32Array {
  const parents = new Int32Array(columns.parents);
  if (parents.every((parent, index) => parent < index)) return parents; // no way leads back
  const state = new Uint8Array(parents.length); // 1: on the way that is being climbed, 2: known to end at a root
  for (let index = 0; index < parents.length; index += 1) {
    const way: number[] = [];
    let here = index;
    while (here >= 0 && state[here] === 0) {
      state[here] = 1;
      way.push(here);
      here = int(parents, here);
    }
    if (here >= 0 && state[here] === 1) {
      const ring = way.slice(way.indexOf(here));
      parents[ring.reduce((first, one) => (float(start, one) < float(start, first) ? one : first))] = RING;
    }
    for (const one of way) state[one] = 2;
  }
  return parents;
}

/** The places of the spans by start, the longer ones first. */
function byStart({ start, duration }: Times): Int32Array {
  const order = new Int32Array(start.length);
  let ordered = true; // the columns come so, unless clocks were shifted
  for (let index = 0; index < order.length; index += 1) {
    order[index] = index;
    if (index === 0) continue;
    const later = float(start, index) - float(start, index - 1);
    if (later < 0 || (later === 0 && float(duration, index) > float(duration, index - 1))) ordered = false;
  }
  if (ordered) return order;
  return order.sort((a, b) => float(start, a) - float(start, b) || float(duration, b) - float(duration, a) || a - b);
}

/** Children as lists through arrays: `first[parent]`, then `next[child]`, by start. Roots hang from the last place. */
export interface Tree {
  parents: Int32Array;
  first: Int32Array;
  next: Int32Array;
  counts: Int32Array;
  order: Int32Array; // all spans by start
}

export function treeOf(columns: TraceColumns, times: Times): Tree {
  const parents = soundParents(columns, times.start);
  const count = parents.length;
  const order = byStart(times);
  const first = new Int32Array(count + 1).fill(NONE);
  const next = new Int32Array(count).fill(NONE);
  const counts = new Int32Array(count + 1);
  for (let place = count - 1; place >= 0; place -= 1) {
    const index = int(order, place);
    const parent = int(parents, index);
    const list = parent < 0 ? count : parent;
    next[index] = int(first, list);
    first[list] = index;
    counts[list] = int(counts, list) + 1;
  }
  return { parents, first, next, counts, order };
}

/** What the children of each span take of its time, and whether one of them failed (1). */
export interface Below {
  covered: Float64Array; // milliseconds, times in which several ran counted once
  failed: Uint8Array;
}

export function belowOf(columns: TraceColumns, { parents, order }: Tree, { start, duration }: Times): Below {
  const covered = new Float64Array(parents.length);
  const failed = new Uint8Array(parents.length);
  const reached = new Float64Array(start); // up to where the children so far cover each span
  for (let place = 0; place < order.length; place += 1) {
    const index = int(order, place);
    const parent = int(parents, index);
    if (parent < 0) continue;
    if (columns.status[index] === STATUS_ERROR) failed[parent] = 1;
    const from = Math.max(float(start, index), float(reached, parent));
    const to = Math.min(float(start, index) + float(duration, index), float(start, parent) + float(duration, parent));
    if (to <= from) continue;
    covered[parent] = float(covered, parent) + to - from;
    reached[parent] = to;
  }
  return { covered, failed };
}
