import { describe, expect, it } from "vitest";

import type { SystemEvent } from "../../api/events";
import { eventMark, eventParams, lookFurther, pageOf, readFilter } from "./view";

const event = (change: Partial<SystemEvent>): SystemEvent => ({
  id: "e",
  time: "2026-01-01T12:00:00Z",
  ended_at: null,
  type: "deployment",
  change: "flag",
  title: "",
  description: "",
  severity: "info",
  source: "api",
  fingerprint: "",
  services: ["shop"],
  traces: [],
  metrics: [],
  data: {},
  ...change,
});

describe("the timeline of events", () => {
  it("the filter stands in the address", () =>
    expect(eventParams(readFilter(new URLSearchParams("type=alert&q=card&minutes=15")))).toMatchObject({
      type: "alert",
      text: "card",
      minutes: "15",
    }));

  it("each kind has its word", () => {
    expect(eventMark(event({})).word).toBe("Flag");
    expect(eventMark(event({ type: "alert", severity: "critical" }))).toMatchObject({ word: "Alert", tone: "bad" });
  });

  it("an objective's alert leads to the objective", () => {
    expect(pageOf(event({ source: "slo:slo-1" }))).toBe("/slos/slo-1");
    expect(pageOf(event({ type: "incident", fingerprint: "incident|i-1" }))).toBe("/incidents/i-1");
    expect(pageOf(event({}))).toBeNull();
  });

  it("traces and logs are looked at from before it began, and not in the future", () => {
    const address = new URLSearchParams(lookFurther(event({}), "/logs", Date.parse("2026-01-01T12:05:00Z")).split("?")[1]);
    expect(Object.fromEntries(address)).toEqual({
      service: "shop",
      start: "2026-01-01T11:45:00.000Z",
      end: "2026-01-01T12:05:00.000Z",
    });
  });
});
