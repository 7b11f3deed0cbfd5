import { describe, expect, it } from "vitest";

import type { SpanDifference } from "../../api/traceTypes";
import { changeOf, ofChange, signedMs } from "./changes";

const spans = [{ change: "same" }, { change: "added" }, { change: "same" }] as SpanDifference[];

describe("what became of the spans", () => {
  it("shows all, or those of one kind", () => {
    expect(ofChange(spans, null)).toHaveLength(3);
    expect(ofChange(spans, "added")).toHaveLength(1);
    expect(ofChange(spans, "slower")).toEqual([]);
  });

  it("takes no other word from the address", () => {
    expect(changeOf("missing")).toBe("missing");
    expect(changeOf("gone")).toBeNull();
    expect(changeOf(null)).toBeNull();
  });

  it("says the sign", () => {
    expect(signedMs(12)).toBe("+12 ms");
    expect(signedMs(-1_500)).toBe("−1.5 s");
    expect(signedMs(0)).toBe("±0");
  });
});
