import { describe, expect, it } from "vitest";

import type { Incident, TimelineEntry, TimelineKind } from "../../api/types";
import { momentsOf, phasesOf } from "./phases";

const T0 = Date.parse("2026-01-01T00:00:00Z");
const at = (seconds: number) => new Date(T0 + seconds * 1_000).toISOString();

function incident(closed: number | null): Incident {
  return {
    id: "i",
    title: "",
    status: closed === null ? "open" : "closed",
    severity: "high",
    issue_ids: [],
    affected_services: [],
    root_cause: null,
    first_bad_at: at(0),
    opened_at: at(2),
    updated_at: at(2),
    closed_at: closed === null ? null : at(closed),
    healed: null,
  };
}

function entry(kind: TimelineKind, seconds: number): TimelineEntry {
  return { id: `${kind}${seconds}`, time: at(seconds), kind, title: "", detail: "", incident_id: "i", resource: null, data: {} };
}

const lengths = (of: Incident, timeline: TimelineEntry[], now: number) =>
  phasesOf(momentsOf(of, timeline), T0 + now * 1_000).map((phase) => [phase.name, (phase.to - phase.from) / 1_000]);

describe("the phases of an incident", () => {
  it("tells a healed one from the first bad second to the re-arming", () => {
    const timeline = [entry("acted", 3), entry("not_helped", 6), entry("acted", 7), entry("verified", 10), entry("recovered", 316)];
    expect(lengths(incident(16), timeline, 9_999)).toEqual([
      ["Unnoticed", 2],
      ["Deciding", 1],
      ["Measuring", 7],
      ["Settling", 6],
      ["Hold-off", 300],
    ]);
  });

  it("runs to the present while it is open", () => {
    expect(lengths(incident(null), [entry("acted", 3)], 8)).toEqual([
      ["Unnoticed", 2],
      ["Deciding", 1],
      ["Measuring", 5],
    ]);
  });

  it("claims no action where there was none", () => {
    expect(lengths(incident(20), [], 99)).toEqual([
      ["Unnoticed", 2],
      ["Trouble", 18],
    ]);
  });
});
