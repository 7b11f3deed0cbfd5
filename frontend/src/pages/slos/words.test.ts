import { describe, expect, it } from "vitest";

import type { SloAnswer } from "../../api/slos";
import { budgetShare, burn, matches, percentage, worstFirst } from "./words";

const slo = (name: string, state: SloAnswer["state"], remaining: number | null): SloAnswer =>
  ({ name, state, service: "shop", indicator_text: "requests of shop", budget: { remaining } }) as SloAnswer;

describe("the figures of an objective", () => {
  it("a percentage is cut, never rounded up to all", () => {
    expect(percentage(99.99999)).toBe("99.999 %");
    expect(percentage(99.9)).toBe("99.9 %");
    expect(percentage(100)).toBe("100 %");
  });

  it("a budget is never rounded to untouched nor to spent", () => {
    expect(budgetShare(1)).toBe("100 %");
    expect(budgetShare(0.9999)).toBe("99.9 %");
    expect(budgetShare(0.344)).toBe("34 %");
    expect(budgetShare(0.00001)).toBe("< 0.01 %");
    expect(budgetShare(-1.2)).toBe("−120 %");
  });

  it("a burn rate has the digits that matter", () => {
    expect([0, 0.001, 0.5, 14.4, 300.4].map(burn)).toEqual(["0×", "< 0.01×", "0.5×", "14.4×", "300×"]);
  });
});

describe("the list", () => {
  it("what needs a person stands first", () => {
    const all = [slo("b", "unknown", null), slo("c", "healthy", 1), slo("a", "breached", -1), slo("d", "healthy", 0.5)];
    expect(worstFirst(all).map((one) => one.name)).toEqual(["a", "d", "c", "b"]);
  });

  it("is narrowed by state and words", () => {
    expect(matches(slo("Pay", "critical", 0.1), "trouble", "shop pay")).toBe(true);
    expect(matches(slo("Pay", "unknown", null), "trouble", "")).toBe(false);
    expect(matches(slo("Pay", "unknown", null), "unknown", "")).toBe(true);
    expect(matches(slo("Pay", "healthy", 1), "", "mail")).toBe(false);
  });
});
