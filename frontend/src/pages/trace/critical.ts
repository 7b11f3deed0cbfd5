/** The critical path by span. Pure. */

import type { TraceAnalysis } from "../../api/traceTypes";

export interface Piece {
  startMs: number; // from the beginning of the trace
  durationMs: number;
}

export interface CriticalPath {
  pieces: ReadonlyMap<string, readonly Piece[]>;
  totalMs: number;
}

const SHORTEST_MS = 0.0005;

export function criticalPath(analysis: TraceAnalysis): CriticalPath {
  const pieces = new Map<string, Piece[]>();
  let totalMs = 0;
  for (const { span_id: id, start_ms: startMs, duration_ms: durationMs } of analysis.critical_path) {
    totalMs += durationMs;
    if (durationMs < SHORTEST_MS) continue;
    const known = pieces.get(id);
    if (known === undefined) pieces.set(id, [{ startMs, durationMs }]);
    else known.push({ startMs, durationMs });
  }
  return { pieces, totalMs };
}

/** What was added to the clocks of spans, where something was. */
export function shiftsOf(analysis: TraceAnalysis): ReadonlyMap<string, number> {
  return new Map(analysis.spans.filter((span) => span.shift_ms !== 0).map((span) => [span.span_id, span.shift_ms]));
}
