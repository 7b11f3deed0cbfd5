import { describe, expect, it } from "vitest";

import { keyMove } from "./keyboard";
import { axisTicks, layoutTrace, visibleRows } from "./layout";
import { columnsOf, idOf, span, type Made } from "./made";

const layoutOf = (spans: Made[]) => layoutTrace(columnsOf(spans));
const shape = (spans: Made[]) => layoutOf(spans).rows.map((row) => `${"-".repeat(row.depth)}${row.name}`);

describe("the waterfall", () => {
  it("puts children below their parent, by start", () => {
    const spans = [span("c", "a", 30, 5), span("b", "a", 10, 10), span("d", "b", 12, 2), span("a", null, 0, 50)];
    expect(shape(spans)).toEqual(["a", "-b", "--d", "-c"]);
  });

  it("puts the longer of two that begin together first, also where only the shift of a clock makes them", () => {
    const columns = columnsOf([span("a", null, 0, 50), span("short", "a", 10, 5), span("long", "a", 12, 20)]);
    const { rows } = layoutTrace(columns, new Map([[idOf("long"), -2]]));
    expect(rows.map((row) => row.name)).toEqual(["a", "long", "short"]);
  });

  it("counts what lies below", () => {
    const { rows } = layoutOf([span("a", null, 0, 9), span("b", "a", 1, 5), span("c", "b", 2, 1), span("d", "a", 7, 1)]);
    expect(rows.map((row) => row.descendants)).toEqual([3, 1, 0, 0]);
  });

  it("shows a span whose parent is missing, and says so", () => {
    const { rows } = layoutOf([span("b", "gone", 5, 5), span("a", null, 0, 4)]);
    expect(rows.map((row) => [row.name, row.loose])).toEqual([["a", ""], ["b", "orphan"]]);
  });

  it("shows every span of a ring of parents once", () => {
    const spans = [span("a", "b", 0, 5), span("b", "a", 1, 3), span("c", "b", 1, 1), span("s", "s", 2, 1)];
    expect(shape(spans)).toEqual(["a", "-b", "--c", "s"]);
    expect(layoutOf(spans).rows.map((row) => row.loose)).toEqual(["ring", "", "", "ring"]);
  });

  it("measures from the earliest start to the latest end, whatever the clocks say", () => {
    const layout = layoutOf([span("a", null, 10, 20), span("b", "a", 0, 5), span("c", "a", 25, 15)]);
    expect(layout.durationMs).toBeCloseTo(40, 2);
    expect(layout.rows[0]?.startMs).toBeCloseTo(10, 2);
  });

  it("counts overlapping children once in the time of a span itself", () => {
    const { rows } = layoutOf([span("a", null, 0, 100), span("b", "a", 10, 40), span("c", "a", 30, 40), span("d", "a", 90, 60)]);
    expect(rows[0]?.selfMs).toBeCloseTo(30, 2); // 0-10 and 70-90
  });

  it("marks an error where it began, not where it was handed on", () => {
    const bad = { failed: true };
    const { rows, errors } = layoutOf([span("a", null, 0, 9, bad), span("b", "a", 1, 5, bad), span("c", "a", 7, 1)]);
    expect(rows.filter((row) => row.errorOrigin).map((row) => row.name)).toEqual(["b"]);
    expect(errors).toBe(2);
  });

  it("holds a chain of 10,000 spans and lays it out in a moment", () => {
    const chain = Array.from({ length: 10_000 }, (_, n) => span(`s${n}`, n === 0 ? null : `s${n - 1}`, n, 20_000 - 2 * n));
    const { rows } = layoutOf(chain);
    expect(rows.length).toBe(10_000);
    expect(rows[0]?.descendants).toBe(9_999);
    expect(rows[9_999]?.depth).toBe(9_999);
  });

  it("opens a ring where it begins, not where something hangs from it", () => {
    const spans = [span("early", "b", 0, 1), span("a", "b", 5, 5), span("b", "a", 6, 3)];
    expect(shape(spans)).toEqual(["a", "-b", "--early"]);
  });

  it("knows the root that stands for the trace, whatever an orphan's clock says", () => {
    expect(layoutOf([span("lost", "gone", -9_000, 1), span("a", null, 0, 9)]).root?.name).toBe("a");
    expect(layoutOf([span("lost", "gone", 0, 1)]).root?.name).toBe("lost");
  });

  it("lays out 2,000 services and spans without any duration", () => {
    const spans = Array.from({ length: 2_000 }, (_, n) => span(`s${n}`, n === 0 ? null : "s0", 0, 0, { service: `service ${n}` }));
    const layout = layoutOf(spans);
    expect(layout.services.length).toBe(2_000);
    expect(layout.durationMs).toBe(0);
    expect(layout.rows[0]?.descendants).toBe(1_999);
    expect(layout.rows.every((row) => row.startMs === 0 && row.selfMs === 0)).toBe(true);
  });

  it("orders siblings anew when a clock was set right, and measures their times with it", () => {
    const columns = columnsOf([span("a", null, 0, 100), span("b", "a", 10, 20), span("c", "a", 40, 20), span("d", "c", 45, 5)]);
    const { rows } = layoutTrace(columns, new Map([[idOf("b"), 60]]));
    expect(rows.map((row) => [row.name, row.startMs, row.position, row.siblings])).toEqual([
      ["a", 0, 1, 1],
      ["c", 40, 1, 2],
      ["d", 45, 1, 1],
      ["b", 70, 2, 2],
    ]);
    expect(rows.map((row) => row.selfMs)).toEqual([60, 15, 5, 20]);
  });

  it("is empty for no spans", () => {
    expect(layoutOf([])).toMatchObject({ rows: [], durationMs: 0, errors: 0 });
  });
});

describe("folding and keys", () => {
  const { rows } = layoutOf([span("a", null, 0, 9), span("b", "a", 1, 5), span("c", "b", 2, 1), span("d", "a", 7, 1)]);
  const none = new Set<string>();

  it("hides what lies below a folded span", () => {
    expect(visibleRows(rows, new Set([idOf("b")])).map((row) => row.name)).toEqual(["a", "b", "d"]);
    expect(visibleRows(rows, new Set([idOf("a"), idOf("b")])).map((row) => row.name)).toEqual(["a"]);
  });

  it("right unfolds, then goes to the first child; left folds, then goes to the parent", () => {
    const folded = new Set([idOf("b")]);
    expect(keyMove("ArrowRight", visibleRows(rows, folded), 1, folded)).toEqual({ kind: "expand", id: idOf("b") });
    expect(keyMove("ArrowRight", rows, 1, none)).toEqual({ kind: "select", index: 2 });
    expect(keyMove("ArrowLeft", rows, 1, none)).toEqual({ kind: "collapse", id: idOf("b") });
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
