/**
 * From the columns of a trace to the rows of a waterfall. Pure, without recursion (a chain of 10,000 spans must not
 * overflow the stack), in time linear in the number of spans but for sorting, and tolerant: parents may be missing,
 * clocks may disagree, ids may form a ring.
 */

import { KINDS, NO_PARENT, PARENT_MISSING, STATUS_ERROR, STATUSES, type TraceColumns } from "../../api/traceColumns";
import { serviceColors } from "../../lib/colors";
import { belowOf, float, int, NONE, RING, spanId, timesOf, treeOf, type Below, type Times, type Tree } from "./tree";

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

/** What a row reads, by the place of its span in the columns of the trace. */
interface Laid {
  columns: TraceColumns;
  times: Times;
  tree: Tree;
  below: Below;
  depths: Int32Array;
  positions: Int32Array;
  descendants: Int32Array;
}

/** Reads what it is asked for from the arrays of the whole trace: of ten thousand rows a screen shows thirty. */
class SpanRow implements Row {
  constructor(
    private readonly laid: Laid,
    private readonly at: number,
  ) {}

  get id() {
    return spanId(this.laid.columns, this.at);
  }
  get service() {
    const { services, service } = this.laid.columns;
    return services[service[this.at] ?? NONE] ?? "";
  }
  get name() {
    const { names, name } = this.laid.columns;
    return names[name[this.at] ?? NONE] ?? "";
  }
  get kind() {
    return KINDS[this.laid.columns.kind[this.at] ?? NONE] ?? "unspecified";
  }
  get status() {
    return STATUSES[this.laid.columns.status[this.at] ?? NONE] ?? "unset";
  }
  get startMs() {
    return float(this.laid.times.start, this.at) - this.laid.times.begin;
  }
  get durationMs() {
    return float(this.laid.times.duration, this.at);
  }
  get selfMs() {
    return Math.max(0, this.durationMs - float(this.laid.below.covered, this.at));
  }
  get failed() {
    return this.laid.columns.status[this.at] === STATUS_ERROR;
  }
  get errorOrigin() {
    return this.failed && this.laid.below.failed[this.at] !== 1;
  }
  get depth() {
    return int(this.laid.depths, this.at);
  }
  get children() {
    return int(this.laid.tree.counts, this.at);
  }
  get descendants() {
    return int(this.laid.descendants, this.at);
  }
  get loose() {
    const parent = int(this.laid.tree.parents, this.at);
    return parent === PARENT_MISSING ? "orphan" : parent === RING ? "ring" : "";
  }
  get position() {
    return int(this.laid.positions, this.at);
  }
  get siblings() {
    const { parents, counts } = this.laid.tree;
    const parent = int(parents, this.at);
    return int(counts, parent < 0 ? parents.length : parent);
  }
}

/** Depth first from the last place of the tree, from which the roots hang. */
function rowsOf(columns: TraceColumns, times: Times): Row[] {
  const tree = treeOf(columns, times);
  const { parents, first, next } = tree;
  const count = parents.length;
  const [depths, positions, descendants] = [new Int32Array(count), new Int32Array(count), new Int32Array(count)];
  const laid: Laid = { columns, times, tree, below: belowOf(columns, tree, times), depths, positions, descendants };
  const order = new Int32Array(count);
  const rows: Row[] = [];
  const waiting: number[] = [];
  const begin = (list: number) => {
    const index = int(first, list);
    if (index === NONE) return;
    positions[index] = 1;
    waiting.push(index);
  };
  begin(count);
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    const parent = int(parents, index);
    const sibling = int(next, index);
    if (sibling !== NONE) {
      positions[sibling] = int(positions, index) + 1;
      waiting.push(sibling);
    }
    depths[index] = parent < 0 ? 0 : int(depths, parent) + 1;
    order[rows.length] = index;
    rows.push(new SpanRow(laid, index));
    begin(index);
  }
  for (let place = rows.length - 1; place >= 0; place -= 1) {
    const index = int(order, place);
    const parent = int(parents, index);
    if (parent >= 0) descendants[parent] = int(descendants, parent) + int(descendants, index) + 1;
  }
  return rows;
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
  const rows = rowsOf(columns, times);
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
