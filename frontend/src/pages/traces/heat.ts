/** From the answer of /api/latency to the cells of a heat map. Pure. */

import type { Bucket, Latency } from "../../api/traceTypes";

export interface Cell {
  column: number; // step, from the oldest
  row: number; // bucket, from the shortest
  count: number;
  strength: number; // 0..1 of the fullest cell, by the logarithm: rare slow requests have to be seen
}

export interface Narrowed {
  minDurationMs: string;
  maxDurationMs: string;
  minutes: "";
  start: string;
  end: string;
}

export function cellsOf(latency: Latency): Cell[] {
  const most = Math.max(1, ...latency.points.flatMap((point) => point.counts ?? []));
  return latency.points.flatMap((point, column) =>
    (point.counts ?? []).flatMap((count, row) =>
      count > 0 ? [{ column, row, count, strength: Math.log1p(count) / Math.log1p(most) }] : [],
    ),
  );
}

function trimmed(ms: number, round: (value: number) => number): string {
  return String(round(ms * 1e4) / 1e4);
}

/** The search for the requests of a cell: they ended within the step, so they began up to their duration before. */
export function narrowedTo(stepStart: string, stepS: number, bucket: Bucket): Narrowed {
  const start = Date.parse(stepStart);
  return {
    minDurationMs: trimmed(bucket.lower_ms, Math.floor),
    maxDurationMs: bucket.upper_ms === null ? "" : trimmed(bucket.upper_ms, Math.ceil),
    minutes: "",
    start: new Date(start - Math.ceil(bucket.upper_ms ?? bucket.lower_ms)).toISOString(),
    end: new Date(start + stepS * 1_000).toISOString(),
  };
}
