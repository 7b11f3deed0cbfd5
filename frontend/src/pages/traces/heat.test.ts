import { describe, expect, it } from "vitest";

import { cellsOf, narrowedTo } from "./heat";

const point = (counts: number[] | null) => ({
  time: "2026-03-01T12:00:00Z", requests: 1, errors: 0, p50_ms: 1, p95_ms: 1, p99_ms: 1, counts,
});

describe("the heat map", () => {
  it("has a cell for each count, none for zero and none for the unknown", () => {
    const cells = cellsOf({ service: "a", operation: null, step_s: 60, buckets: [], points: [point([0, 9]), point(null), point([1, 0])] });
    expect(cells.map(({ column, row, count }) => [column, row, count])).toEqual([[0, 1, 9], [2, 0, 1]]);
    expect(cells[0]?.strength).toBe(1);
    expect(cells[1]?.strength).toBeGreaterThan(0.2);
  });

  it("narrows the search to a cell, from where its requests can have begun", () => {
    expect(narrowedTo("2026-03-01T12:00:00Z", 60, { lower_ms: 262.144, upper_ms: 370.72760000473 })).toEqual({
      minDurationMs: "262.144", maxDurationMs: "370.7277", minutes: "",
      start: "2026-03-01T11:59:59.629Z", end: "2026-03-01T12:01:00.000Z",
    });
    expect(narrowedTo("2026-03-01T12:00:00Z", 60, { lower_ms: 100, upper_ms: null }).maxDurationMs).toBe("");
  });
});
