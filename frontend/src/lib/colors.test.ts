import { describe, expect, it } from "vitest";

import { COLORS, serviceColors } from "./colors";

describe("the colours of services", () => {
  it("no two share one while there are enough", () => {
    const colors = serviceColors(Array.from({ length: COLORS }, (_, n) => `service-${n}`));
    expect(new Set(colors.values()).size).toBe(COLORS);
  });
  it("do not depend on the order, and repeat when there are more services than colours", () => {
    expect(serviceColors(["b", "a"])).toEqual(serviceColors(["a", "b", "a"]));
    expect(serviceColors(Array.from({ length: 100 }, (_, n) => `s${n}`)).size).toBe(100);
  });
});
