/** One colour, one icon and one word per state, the same everywhere. Never colour alone. */

import type { IconName } from "../ui/Icon";
import type { Incident, Issue, IncidentStatus, PolicyMode, RunStatus, ServiceStatus, Severity, TimelineKind } from "../api/types";

export type Tone = "ok" | "warn" | "bad" | "info" | "unknown";

export interface Mark {
  tone: Tone;
  icon: IconName;
  word: string;
}

export const serviceMarks: Record<ServiceStatus, Mark> = {
  healthy: { tone: "ok", icon: "check", word: "Healthy" },
  degraded: { tone: "warn", icon: "warning", word: "Degraded" },
  down: { tone: "bad", icon: "cross", word: "Down" },
  unknown: { tone: "unknown", icon: "question", word: "Unknown" },
};

export const incidentMarks: Record<IncidentStatus, Mark> = {
  open: { tone: "bad", icon: "alert", word: "Open" },
  escalated: { tone: "warn", icon: "person", word: "Needs a person" },
  closed: { tone: "ok", icon: "check", word: "Closed" },
};

export const severityMarks: Record<Severity, Mark> = {
  critical: { tone: "bad", icon: "alert", word: "Critical" },
  high: { tone: "bad", icon: "up", word: "High" },
  medium: { tone: "warn", icon: "warning", word: "Medium" },
  low: { tone: "info", icon: "down", word: "Low" },
};

/** What is over does not shout any more. */
export function severityMark(of: Pick<Incident | Issue, "severity" | "status">): Mark {
  const mark = severityMarks[of.severity];
  return of.status === "closed" ? { ...mark, tone: "unknown" } : mark;
}

export const runMarks: Record<RunStatus, Mark> = {
  awaiting_approval: { tone: "warn", icon: "person", word: "Awaiting approval" },
  intent: { tone: "info", icon: "bolt", word: "Acting" },
  acted: { tone: "info", icon: "gauge", word: "Measuring" },
  verified: { tone: "ok", icon: "check", word: "Verified" },
  not_helped: { tone: "warn", icon: "cross", word: "Did not help" },
  undone: { tone: "warn", icon: "undo", word: "Undone" },
  failed: { tone: "bad", icon: "cross", word: "Failed" },
  rejected: { tone: "unknown", icon: "cross", word: "Rejected" },
  in_doubt: { tone: "bad", icon: "question", word: "In doubt" },
};

export const timelineMarks: Record<TimelineKind, Mark> = {
  fault: { tone: "bad", icon: "bolt", word: "Fault" },
  detected: { tone: "bad", icon: "alert", word: "Detected" },
  updated: { tone: "info", icon: "pulse", word: "Updated" },
  changed: { tone: "info", icon: "flag", word: "Change" },
  planned: { tone: "info", icon: "plan", word: "Planned" },
  approval: { tone: "warn", icon: "person", word: "Approval" },
  acted: { tone: "info", icon: "wrench", word: "Acted" },
  verified: { tone: "ok", icon: "gauge", word: "Verified" },
  not_helped: { tone: "warn", icon: "cross", word: "Did not help" },
  undone: { tone: "warn", icon: "undo", word: "Undone" },
  escalated: { tone: "warn", icon: "person", word: "Escalated" },
  closed: { tone: "ok", icon: "check", word: "Closed" },
  recovered: { tone: "ok", icon: "loop", word: "Re-armed" },
};

export const modeWords: Record<PolicyMode, { word: string; means: string }> = {
  observe: { word: "Observe", means: "Detects and tells. Nothing is touched." },
  suggest: { word: "Suggest", means: "Also shows what it would do. Nothing is touched." },
  approve: { word: "Approve", means: "Acts when a person says so." },
  auto: { word: "Auto", means: "Acts by itself, within the policy and its limits." },
};
