/** What became of a span from one trace to the other: never colour alone. */

import type { SpanChange, SpanDifference } from "../../api/traceTypes";
import type { Mark } from "../../lib/status";
import { duration } from "../../lib/format";

export const CHANGES: readonly SpanChange[] = ["slower", "faster", "added", "missing", "same"];

export const changeMarks: Record<SpanChange, Mark> = {
  slower: { tone: "bad", icon: "up", word: "Slower" },
  faster: { tone: "ok", icon: "down", word: "Faster" },
  added: { tone: "info", icon: "plus", word: "Only right" },
  missing: { tone: "warn", icon: "minus", word: "Only left" },
  same: { tone: "unknown", icon: "check", word: "Same" },
};

/** The spans of one kind of change, or all. */
export function ofChange(spans: readonly SpanDifference[], change: SpanChange | null): readonly SpanDifference[] {
  return change === null ? spans : spans.filter((span) => span.change === change);
}

export function changeOf(text: string | null): SpanChange | null {
  return CHANGES.find((change) => change === text) ?? null;
}

export function signedMs(ms: number): string {
  if (ms === 0) return "±0";
  return `${ms < 0 ? "−" : "+"}${duration(Math.abs(ms))}`;
}
