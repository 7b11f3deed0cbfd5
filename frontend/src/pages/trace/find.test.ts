import { describe, expect, it } from "vitest";

import type { TraceAnalysis } from "../../api/traceTypes";
import { criticalPath, shiftsOf } from "./critical";
import { findSpans, foundText, step } from "./find";
import { layoutTrace } from "./layout";
import { columnsOf, idOf, span } from "./made";

const spans = columnsOf([
  span("a", null, 0, 5, { name: "POST /buy" }),
  span("b", "a", 1, 5, { name: "SELECT" }),
  span("c", "a", 2, 5, { name: "SELECT" }),
]);

describe("looking for a text", () => {
  const { rows } = layoutTrace(spans);
  it("finds it in names, in any case, and takes what the server found besides", () => {
    expect(findSpans(rows, "select")).toEqual([idOf("b"), idOf("c")]);
    expect(findSpans(rows, "db.shard=7")).toEqual([]);
    expect(findSpans(rows, "db.shard=7", [idOf("c"), idOf("a")])).toEqual([idOf("a"), idOf("c")]);
    expect(findSpans(rows, "nowhere")).toEqual([]);
    expect(findSpans(rows, "  ")).toBeNull();
  });

  it("says that there is none only when all was searched", () => {
    expect(foundText(null, 0, "pending")).toBe("");
    expect(foundText(0, 0, "pending")).toBe("searching …");
    expect(foundText(0, 0, "failed")).toBe("attributes not searched");
    expect(foundText(0, 0, "done")).toBe("no span");
    expect(foundText(3, 2, "done")).toBe("2 of 3");
    expect(foundText(3, 2, "pending")).toBe("2 of 3, searching …");
    expect(foundText(3, 0, "failed")).toBe("3, attributes not searched");
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
    spans: [{ span_id: idOf("a"), critical_ms: 4, shift_ms: 0 }, { span_id: idOf("b"), critical_ms: 3, shift_ms: 2 }],
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
    expect(rows.find((row) => row.id === idOf("b"))?.startMs).toBeCloseTo(3);
    expect(rows.find((row) => row.id === idOf("c"))?.startMs).toBeCloseTo(2);
  });
});
