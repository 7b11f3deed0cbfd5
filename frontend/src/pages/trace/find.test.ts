import { describe, expect, it } from "vitest";

import type { TraceAnalysis } from "../../api/traceTypes";
import type { Span } from "../../api/types";
import { criticalPath, shiftsOf } from "./critical";
import { findSpans, step } from "./find";
import { layoutTrace } from "./layout";

function span(id: string, name: string, startMs: number, attributes: Record<string, string> = {}): Span {
  return {
    trace_id: "t", span_id: id, parent_span_id: id === "a" ? null : "a", name, kind: "server", service: "shop",
    start: "2026-03-01T12:00:00Z", start_unix_nano: startMs * 1e6, duration_ms: 5, status: "unset", status_message: "",
    attributes, resource: {}, scope: "", events: [], links: [],
  };
}

const spans = [span("a", "POST /buy", 0), span("b", "SELECT", 1, { "db.shard": "7" }), span("c", "SELECT", 2)];

describe("looking for a text", () => {
  const { rows } = layoutTrace(spans);
  it("finds it in names and attributes, in any case", () => {
    expect(findSpans(rows, "select")).toEqual(["b", "c"]);
    expect(findSpans(rows, "db.shard=7")).toEqual(["b"]);
    expect(findSpans(rows, "nowhere")).toEqual([]);
    expect(findSpans(rows, "  ")).toBeNull();
  });

  it("goes from match to match and around the end", () => {
    expect(step(["b", "c"], null, 1)).toBe("b");
    expect(step(["b", "c"], "c", 1)).toBe("b");
    expect(step(["b", "c"], "b", -1)).toBe("c");
    expect(step([], "b", 1)).toBeNull();
  });
});

describe("the analysis", () => {
  const analysis: TraceAnalysis = {
    trace_id: "t", duration_ms: 7, operations: [], notes: [],
    spans: [{ span_id: "a", critical_ms: 4, shift_ms: 0 }, { span_id: "b", critical_ms: 3, shift_ms: 2 }],
    critical_path: [
      { span_id: "a", service: "shop", operation: "POST /buy", start_ms: 0, duration_ms: 1 },
      { span_id: "b", service: "shop", operation: "SELECT", start_ms: 1, duration_ms: 3 },
      { span_id: "a", service: "shop", operation: "POST /buy", start_ms: 4, duration_ms: 3 },
    ],
  };
  it("gives each span its pieces of the critical path", () => {
    const path = criticalPath(analysis);
    expect(path.pieces.get("a")).toEqual([{ startMs: 0, durationMs: 1 }, { startMs: 4, durationMs: 3 }]);
    expect(path.pieces.has("c")).toBe(false);
    expect(path.totalMs).toBe(7);
  });

  it("moves spans whose clocks were wrong, for display", () => {
    const rows = layoutTrace(spans, shiftsOf(analysis)).rows;
    expect(rows.find((row) => row.span.span_id === "b")?.startMs).toBeCloseTo(3);
    expect(rows.find((row) => row.span.span_id === "c")?.startMs).toBeCloseTo(2);
  });
});
