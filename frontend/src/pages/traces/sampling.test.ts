import { describe, expect, it } from "vitest";

import { groupSentence, keptOf, samplingSentence } from "./sampling";

describe("sampling in words", () => {
  it("says of how many a trace was kept", () => {
    expect(keptOf(0.1)).toBe("kept 1 of 10");
    expect(keptOf(0.4)).toBe("kept 1 of 2.5");
  });

  it("says nothing where nothing was sampled", () => expect(samplingSentence(1, "")).toBe(""));

  it("says what a trace stands for and why it was kept", () => {
    expect(samplingSentence(0.1, "rest")).toBe("Kept 1 of 10 by the policy rest; it stands for ~10 traces.");
    expect(samplingSentence(1, "errors")).toBe("Kept by the policy errors; it stands for itself.");
  });

  it("says what a group stands for", () => {
    expect(groupSentence(1, 1)).toBe("1 trace");
    expect(groupSentence(30, 300)).toBe("30 traces, standing for ~300");
  });
});
