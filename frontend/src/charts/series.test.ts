import { describe, expect, it } from "vitest";

import { loneValues } from "./series";

describe("values that are drawn as dots", () => {
  it("are those without a neighbour, which no line shows", () =>
    expect(loneValues([1, null, 2, 3, null, 4, null, 5, 6, undefined, 7])).toEqual([0, 5, 10]));

  it("are all of them, where there are hardly any", () => {
    expect(loneValues([null, 1, 2, null, 3])).toEqual([1, 2, 4]);
    expect(loneValues([null, null])).toEqual([]);
    expect(loneValues([1, 2, 3, 4])).toEqual([]);
  });
});
