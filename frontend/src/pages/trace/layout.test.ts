import { describe, expect, it } from "vitest";

import type { Span } from "../../api/types";
import { keyMove } from "./keyboard";
import { axisTicks, layoutTrace, visibleRows } from "./layout";

const T0 = 1_700_000_000_000; // Unix milliseconds

function span(id: string, parent: string | null, startMs: number, durationMs: number, more: Partial<Span> = {}): Span {
  return {
    trace_id: "t",
    span_id: id,
    parent_span_id: parent,
    name: id,
    kind: "server",
    service: "shop",
    start: new Date(T0 + startMs).toISOString(),
    start_unix_nano: (T0 + startMs) * 1e6,
    duration_ms: durationMs,
    status: "unset",
    status_message: "",
    attributes: {},
    resource: {},
    scope: "",
    events: [],
    links: [],
    ...more,
  };
}

const shape = (spans: Span[]) => layoutTrace(spans).rows.map((row) => `${"-".repeat(row.depth)}${row.span.span_id}`);

describe("the waterfall", () => {
  it("puts children below their parent, by start", () => {
    const spans = [span("c", "a", 30, 5), span("b", "a", 10, 10), span("d", "b", 12, 2), span("a", null, 0, 50)];
    expect(shape(spans)).toEqual(["a", "-b", "--d", "-c"]);
  });

  it("counts what lies below", () => {
    const { rows } = layoutTrace([span("a", null, 0, 9), span("b", "a", 1, 5), span("c", "b", 2, 1), span("d", "a", 7, 1)]);
    expect(rows.map((row) => row.descendants)).toEqual([3, 1, 0, 0]);
  });

  it("shows a span whose parent is missing, and says so", () => {
    const { rows } = layoutTrace([span("b", "gone", 5, 5), span("a", null, 0, 4)]);
    expect(rows.map((row) => [row.span.span_id, row.orphan])).toEqual([["a", false], ["b", true]]);
  });

  it("shows every span of a ring of parents once", () => {
    expect(shape([span("a", "b", 0, 5), span("b", "a", 1, 3), span("s", "s", 2, 1)])).toEqual(["s", "a", "-b"]);
  });

  it("measures from the earliest start to the latest end, whatever the clocks say", () => {
    const layout = layoutTrace([span("a", null, 10, 20), span("b", "a", 0, 5), span("c", "a", 25, 15)]);
    expect(layout.durationMs).toBeCloseTo(40, 2);
    expect(layout.rows[0]?.startMs).toBeCloseTo(10, 2);
  });

  it("counts overlapping children once in the time of a span itself", () => {
    const { rows } = layoutTrace([span("a", null, 0, 100), span("b", "a", 10, 40), span("c", "a", 30, 40), span("d", "a", 90, 60)]);
    expect(rows[0]?.selfMs).toBeCloseTo(30, 2); // 0-10 and 70-90
  });

  it("marks an error where it began, not where it was handed on", () => {
    const bad = { status: "error" };
    const { rows, errors } = layoutTrace([span("a", null, 0, 9, bad), span("b", "a", 1, 5, bad), span("c", "a", 7, 1)]);
    expect(rows.filter((row) => row.errorOrigin).map((row) => row.span.span_id)).toEqual(["b"]);
    expect(errors).toBe(2);
  });

  it("holds a chain of 10,000 spans and lays it out in a moment", () => {
    const chain = Array.from({ length: 10_000 }, (_, n) => span(`s${n}`, n === 0 ? null : `s${n - 1}`, n, 20_000 - 2 * n));
    const { rows } = layoutTrace(chain);
    expect(rows.length).toBe(10_000);
    expect(rows[0]?.descendants).toBe(9_999);
    expect(rows[9_999]?.depth).toBe(9_999);
  });

  it("is empty for no spans", () => {
    expect(layoutTrace([])).toMatchObject({ rows: [], durationMs: 0, errors: 0 });
  });
});

describe("folding and keys", () => {
  const { rows } = layoutTrace([span("a", null, 0, 9), span("b", "a", 1, 5), span("c", "b", 2, 1), span("d", "a", 7, 1)]);
  const none = new Set<string>();

  it("hides what lies below a folded span", () => {
    expect(visibleRows(rows, new Set(["b"])).map((row) => row.span.span_id)).toEqual(["a", "b", "d"]);
    expect(visibleRows(rows, new Set(["a", "b"])).map((row) => row.span.span_id)).toEqual(["a"]);
  });

  it("right unfolds, then goes to the first child; left folds, then goes to the parent", () => {
    const folded = new Set(["b"]);
    expect(keyMove("ArrowRight", visibleRows(rows, folded), 1, folded)).toEqual({ kind: "expand", id: "b" });
    expect(keyMove("ArrowRight", rows, 1, none)).toEqual({ kind: "select", index: 2 });
    expect(keyMove("ArrowLeft", rows, 1, none)).toEqual({ kind: "collapse", id: "b" });
    expect(keyMove("ArrowLeft", rows, 2, none)).toEqual({ kind: "select", index: 1 });
  });

  it("does not leave the list", () => {
    expect(keyMove("ArrowUp", rows, 0, none)).toEqual({ kind: "select", index: 0 });
    expect(keyMove("PageDown", rows, 3, none)).toEqual({ kind: "select", index: 3 });
    expect(keyMove("ArrowDown", rows, -1, none)).toEqual({ kind: "select", index: 0 });
    expect(keyMove("ArrowDown", [], -1, none)).toBeNull();
    expect(keyMove("x", rows, 1, none)).toBeNull();
  });
});

describe("the axis", () => {
  it("has round marks", () => {
    expect(axisTicks(1_180, 5)).toEqual([0, 500, 1_000]);
    expect(axisTicks(0)).toEqual([0]);
  });
});
