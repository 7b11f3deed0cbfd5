import { describe, expect, it } from "vitest";

import type { SloDefinition } from "../../api/slos";
import { allowance, definitionFrom, draftOf, NEW_DRAFT, type Draft } from "./draft";

const draft = (change: Partial<Draft>): Draft => ({ ...NEW_DRAFT, name: "Pay", service: "payment", ...change });

describe("an objective while it is written", () => {
  it("becomes a definition", () =>
    expect(definitionFrom(draft({ kind: "latency", thresholdMs: "250" }))).toMatchObject({
      name: "Pay",
      target_percentage: 99.9,
      window_days: 30,
      sli: { kind: "latency", threshold_ms: 250, operation: null },
    }));

  it("comes back as it went, with what the fields do not show", () => {
    const definition: SloDefinition = {
      name: "Sold",
      service: "shop",
      description: "",
      target_percentage: 95,
      window_days: 7,
      sli: {
        kind: "metric_ratio",
        bad: { metric: "failed", service: null, labels: { region: "eu" } },
        total: { metric: "all", service: "shop", labels: {} },
      },
      rules: [{ severity: "high", long_window_s: 600, short_window_s: 60, factor: 2, hold_s: 0, name: "own" }],
      labels: { team: "pay" },
    };
    expect(definitionFrom(draftOf(definition), definition)).toEqual(definition);
  });

  it("what cannot be meant is said", () => {
    expect(() => definitionFrom(draft({ target: "100" }))).toThrow("no budget");
    expect(() => definitionFrom(draft({ target: "" }))).toThrow("a number");
    expect(() => definitionFrom(draft({ days: "91" }))).toThrow("90 days");
    expect(() => definitionFrom(draft({ kind: "metric_ratio" }))).toThrow("Name the metric");
    const part = { metric: "m", service: "", labels: "region" };
    expect(() => definitionFrom(draft({ kind: "metric_ratio", part }))).toThrow("key=value");
  });

  it("the budget is told in time", () => {
    expect(allowance(draft({}))).toContain("43.2 min");
    expect(allowance(draft({ target: "x" }))).toBeNull();
  });
});
