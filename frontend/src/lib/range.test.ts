import { describe, expect, it } from "vitest";

import { between, pinned, rangeProblem, rangeSeconds, readRange, stepFor, writeRange } from "./range";

const written = (search: string) => {
  const params = new URLSearchParams();
  writeRange(params, readRange(new URLSearchParams(search), "60"), "60");
  return params.toString();
};

describe("the range of time in the address", () => {
  it("the usual range leaves it clean", () => expect(written("")).toBe(""));

  it("comes back as it went", () => {
    expect(written("minutes=15")).toBe("minutes=15");
    const range = between(0, 60_000);
    const params = new URLSearchParams();
    writeRange(params, range, "60");
    expect(readRange(params, "60")).toEqual(range);
  });

  it("an absolute one replaces the relative one", () =>
    expect(readRange(new URLSearchParams("minutes=5&start=a&end=b"), "60").minutes).toBe(""));

  it("says what is wrong", () => {
    expect(rangeProblem({ minutes: "no", start: "", end: "" })).toContain("minutes");
    expect(rangeProblem({ minutes: "", start: "", end: "" })).toContain("both");
    expect(rangeProblem(between(5, 5))).toContain("before");
    expect(rangeProblem(between(4, 5))).toBeNull();
  });

  it("knows its length", () => {
    expect(rangeSeconds({ minutes: "2", start: "", end: "" })).toBe(120);
    expect(rangeSeconds(between(1_000, 4_000))).toBe(3);
    expect(rangeSeconds(between(4_000, 1_000))).toBeNull();
  });

  it("a relative range can be pinned to a moment", () =>
    expect(pinned({ minutes: "1", start: "", end: "" }, 120_000)).toEqual(between(60_000, 120_000)));
});

describe("the step of a chart", () => {
  it("is round and never makes more parts than wanted", () => {
    expect(stepFor(900, 60)).toBe(15);
    expect(stepFor(3_600, 60, 60)).toBe(60);
    expect(stepFor(400 * 86_400, 100)).toBe(4 * 86_400);
  });
});
