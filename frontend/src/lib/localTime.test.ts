import { describe, expect, it } from "vitest";

import { fromLocalInput, toLocalInput } from "./localTime";

describe("a field for a time", () => {
  it("local times keep the moment", () => {
    const iso = "2026-03-01T10:20:30.000Z";
    expect(fromLocalInput(toLocalInput(iso))).toBe(iso);
    expect(toLocalInput("")).toBe("");
  });
});
