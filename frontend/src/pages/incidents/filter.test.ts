import { describe, expect, it } from "vitest";

import type { Incident, IncidentStatus } from "../../api/types";
import { countByStatus, filterIncidents, statusFilter } from "./filter";

function incident(id: string, status: IncidentStatus, title: string, services: string[] = []): Incident {
  const time = "2026-01-01T00:00:00Z";
  return {
    id,
    title,
    status,
    severity: "high",
    issue_ids: [],
    affected_services: services,
    root_cause: null,
    first_bad_at: time,
    opened_at: time,
    updated_at: time,
    closed_at: null,
    healed: null,
  };
}

const all = [incident("1", "open", "payment fails", ["checkout"]), incident("2", "closed", "login is slow"), incident("3", "escalated", "payment crashed")];

describe("the filter of the incident list", () => {
  it("takes the status from the address, and everything for a word that is none", () => {
    expect(statusFilter("escalated")).toBe("escalated");
    expect(statusFilter("nonsense")).toBe("all");
    expect(statusFilter(null)).toBe("all");
  });
  it("wants all words, wherever they stand", () => {
    expect(filterIncidents(all, "all", "PAYMENT checkout").map((one) => one.id)).toEqual(["1"]);
    expect(filterIncidents(all, "escalated", "").map((one) => one.id)).toEqual(["3"]);
  });
  it("counts", () => expect(countByStatus(all)).toEqual({ all: 3, open: 1, escalated: 1, closed: 1 }));
});
