/** The filter of the incident list, as it stands in the address. */

import type { Incident, IncidentStatus } from "../../api/types";

export type StatusFilter = "all" | IncidentStatus;

export function statusFilter(text: string | null): StatusFilter {
  return text === "open" || text === "escalated" || text === "closed" ? text : "all";
}

export function filterIncidents(incidents: readonly Incident[], status: StatusFilter, words: string): Incident[] {
  const wanted = words.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return incidents.filter((incident) => {
    if (status !== "all" && incident.status !== status) return false;
    const text = [incident.title, incident.root_cause?.resource ?? "", ...incident.affected_services]
      .join(" ")
      .toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

export function countByStatus(incidents: readonly Incident[]): Record<StatusFilter, number> {
  const counts = { all: incidents.length, open: 0, escalated: 0, closed: 0 };
  for (const incident of incidents) counts[incident.status] += 1;
  return counts;
}
