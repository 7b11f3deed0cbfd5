/**
 * From the spans of a trace to the rows of a waterfall. Pure, iterative (a chain of 10,000 spans must not overflow
 * the stack), and tolerant: parents may be missing, clocks may disagree, ids may form a ring.
 */

import type { Span } from "../../api/types";
import { serviceColors } from "../../lib/colors";

export interface Row {
  span: Span;
  depth: number;
  children: number;
  descendants: number;
  startMs: number; // from the beginning of the trace
  selfMs: number; // time in which no child was running
  errorOrigin: boolean; // an error that no child explains: it began here
  orphan: boolean; // its parent was not stored
  position: number; // among its siblings, from 1
  siblings: number;
}

export interface Layout {
  rows: Row[]; // depth first, siblings by start
  durationMs: number;
  services: { service: string; spans: number; errors: number }[];
  colors: ReadonlyMap<string, string>; // custom property per service
  errors: number;
}

const NANOS_PER_MS = 1e6;

function byStart(a: Span, b: Span): number {
  return a.start_unix_nano - b.start_unix_nano || b.duration_ms - a.duration_ms;
}

function childrenByParent(spans: readonly Span[]): { roots: Span[]; children: Map<string, Span[]> } {
  const ids = new Set(spans.map((span) => span.span_id));
  const roots: Span[] = [];
  const children = new Map<string, Span[]>();
  for (const span of spans) {
    const parent = span.parent_span_id;
    if (parent === null || parent === "" || parent === span.span_id || !ids.has(parent)) {
      roots.push(span);
      continue;
    }
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [span]);
    else siblings.push(span);
  }
  return { roots, children };
}

/** Length of the part of [start, end) that the children (sorted by start) do not cover, in milliseconds. */
export function uncoveredMs(span: Span, children: readonly Span[]): number {
  const start = span.start_unix_nano / NANOS_PER_MS;
  const end = start + span.duration_ms;
  let covered = 0;
  let reached = start;
  for (const child of children) {
    const from = Math.max(child.start_unix_nano / NANOS_PER_MS, reached);
    const to = Math.min(child.start_unix_nano / NANOS_PER_MS + child.duration_ms, end);
    if (to > from) {
      covered += to - from;
      reached = to;
    }
  }
  return Math.max(0, span.duration_ms - covered);
}

interface Pending {
  span: Span;
  depth: number;
  position: number;
  siblings: number;
  orphan: boolean;
}

function pushSiblings(stack: Pending[], spans: Span[], depth: number, isRoot: boolean): void {
  const sorted = spans.sort(byStart);
  for (let index = sorted.length - 1; index >= 0; index -= 1) {
    const span = sorted[index];
    if (span === undefined) continue;
    const orphan = isRoot && span.parent_span_id !== null && span.parent_span_id !== "";
    stack.push({ span, depth, position: index + 1, siblings: sorted.length, orphan });
  }
}

/** Fills in how many rows lie below each one: the rows up to the next of the same or a smaller depth. */
function countDescendants(rows: Row[]): void {
  const open: number[] = [];
  const close = (index: number, end: number) => {
    const row = rows[index];
    if (row !== undefined) row.descendants = end - index - 1;
  };
  rows.forEach((row, index) => {
    for (let top = open.at(-1); top !== undefined && (rows[top]?.depth ?? 0) >= row.depth; top = open.at(-1)) {
      close(top, index);
      open.pop();
    }
    open.push(index);
  });
  for (const index of open) close(index, rows.length);
}

function tally(spans: readonly Span[]): Layout["services"] {
  const services = new Map<string, { service: string; spans: number; errors: number }>();
  for (const span of spans) {
    const entry = services.get(span.service) ?? { service: span.service, spans: 0, errors: 0 };
    entry.spans += 1;
    if (span.status === "error") entry.errors += 1;
    services.set(span.service, entry);
  }
  return [...services.values()].sort((a, b) => b.spans - a.spans);
}

/** Spans whose clocks contradict their parents', moved for display. */
function shifted(spans: readonly Span[], shiftsMs: ReadonlyMap<string, number>): readonly Span[] {
  if (shiftsMs.size === 0) return spans;
  return spans.map((span) => {
    const shift = shiftsMs.get(span.span_id) ?? 0;
    return shift === 0 ? span : { ...span, start_unix_nano: span.start_unix_nano + shift * NANOS_PER_MS };
  });
}

const NO_SHIFTS: ReadonlyMap<string, number> = new Map();

export function layoutTrace(stored: readonly Span[], shiftsMs = NO_SHIFTS): Layout {
  const spans = shifted(stored, shiftsMs);
  const { roots, children } = childrenByParent(spans);
  const seen = new Set<string>();
  const rows: Row[] = [];
  let begin = Infinity;
  let end = -Infinity;
  for (const span of spans) {
    const start = span.start_unix_nano / NANOS_PER_MS;
    begin = Math.min(begin, start);
    end = Math.max(end, start + span.duration_ms);
  }
  const walk = (from: Span[], isRoot: boolean) => {
    const stack: Pending[] = [];
    pushSiblings(stack, from, 0, isRoot);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const { span, depth, position, siblings, orphan } = next;
      if (seen.has(span.span_id)) continue;
      seen.add(span.span_id);
      const below = (children.get(span.span_id) ?? []).sort(byStart);
      rows.push({
        span,
        depth,
        children: below.length,
        descendants: 0,
        startMs: span.start_unix_nano / NANOS_PER_MS - begin,
        selfMs: uncoveredMs(span, below),
        errorOrigin: span.status === "error" && !below.some((child) => child.status === "error"),
        orphan,
        position,
        siblings,
      });
      pushSiblings(stack, below, depth + 1, false);
    }
  };
  walk(roots, true);
  // What is left hangs in a ring of parents: each ring is entered at its earliest span.
  for (const span of [...spans].sort(byStart)) if (!seen.has(span.span_id)) walk([span], true);
  countDescendants(rows);
  return {
    rows,
    durationMs: spans.length === 0 ? 0 : Math.max(end - begin, 0),
    services: tally(spans),
    colors: serviceColors(spans.map((span) => span.service)),
    errors: spans.filter((span) => span.status === "error").length,
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
    if (collapsed.has(row.span.span_id)) index += row.descendants;
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
