import { describe, expect, it } from "vitest";

import { apiParams, DEFAULT_SEARCH, readSearch, searchProblem, traceIdOf, writeSearch } from "./search";

describe("the search in the address", () => {
  it("the usual search leaves the address clean", () => expect(writeSearch(DEFAULT_SEARCH).toString()).toBe(""));

  it("comes back as it went", () => {
    const search = {
      ...DEFAULT_SEARCH,
      service: "payment",
      operation: "POST /pay",
      minDurationMs: "250",
      errorsOnly: true,
      attribute: "http.response.status_code=500",
      minutes: "60",
    };
    expect(readSearch(writeSearch(search))).toEqual(search);
  });

  it("an absolute time replaces the relative one", () => {
    const search = { ...DEFAULT_SEARCH, minutes: "", start: "2026-01-01T00:00:00.000Z", end: "2026-01-01T01:00:00.000Z" };
    expect(readSearch(writeSearch(search))).toEqual(search);
    expect(apiParams(search)).toMatchObject({ minutes: null, start: search.start });
    expect(apiParams(DEFAULT_SEARCH)).toMatchObject({ minutes: "15", start: null, errors_only: null });
  });

  it("knows a trace id, short ones and those with dashes too", () => {
    expect(traceIdOf(" 5AF7183FB1D4CF5F ")).toBe("00000000000000005af7183fb1d4cf5f");
    expect(traceIdOf("0af76519-16cd-43dd-8448-eb211c80319c")).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(traceIdOf("deadbeef")).toBeNull();
    expect(traceIdOf("connection refused")).toBeNull();
  });

  it("says what is wrong before it asks", () => {
    expect(searchProblem(DEFAULT_SEARCH)).toBeNull();
    expect(searchProblem({ ...DEFAULT_SEARCH, attribute: "status" })).toContain("key=value");
    expect(searchProblem({ ...DEFAULT_SEARCH, minDurationMs: "fast" })).toContain("milliseconds");
    expect(searchProblem({ ...DEFAULT_SEARCH, minutes: "", start: "", end: "" })).toContain("both");
    const [start, end] = ["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"];
    expect(searchProblem({ ...DEFAULT_SEARCH, minutes: "", start, end })).toContain("before");
  });
});
