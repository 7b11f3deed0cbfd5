import { describe, expect, it } from "vitest";

import { apiParams, NO_SEARCH, pairsOf, pairsText, readSearch, searchProblem, writeSearch, type LogSearch } from "./search";

const written = (search: LogSearch) => writeSearch(new URLSearchParams("tab=patterns"), search);

describe("the search for log records", () => {
  it("the usual one leaves the address clean but for the tab", () =>
    expect(written(NO_SEARCH).toString()).toBe("tab=patterns"));

  it("comes back as it went", () => {
    const search = { ...NO_SEARCH, text: '"two words"', severity: "warn", attributes: ["a=1", "b=x y"] };
    expect(readSearch(written(search))).toEqual(search);
  });

  it("looks for a trace's records in all that is stored, unless a time is chosen", () => {
    const search = { ...NO_SEARCH, traceId: "0".repeat(32) };
    expect(apiParams(search)).not.toHaveProperty("minutes");
    expect(apiParams({ ...search, range: { minutes: "60", start: "", end: "" } })).toMatchObject({ minutes: "60" });
  });

  it("reads pairs with and without quotes", () => {
    expect(pairsOf('a=1  b="x y"')).toEqual(["a=1", "b=x y"]);
    expect(pairsText(["a=1", "b=x y"])).toBe('a=1 b="x y"');
  });

  it("says what is wrong", () => {
    expect(searchProblem(NO_SEARCH)).toBeNull();
    expect(searchProblem(NO_SEARCH, "region")).toContain("key=value");
    expect(searchProblem({ ...NO_SEARCH, traceId: "x" })).toContain("32");
  });
});
