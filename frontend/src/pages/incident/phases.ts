/** The phases of an incident, read from its timeline. A moment that did not happen is null. */

import type { Incident, TimelineEntry, TimelineKind } from "../../api/types";

export interface Phase {
  name: string;
  what: string;
  tone: "bad" | "warn" | "info" | "ok";
  from: number; // Unix milliseconds
  to: number;
}

export interface Moments {
  fault: number;
  detected: number;
  acted: number | null;
  verified: number | null;
  closed: number | null;
  recovered: number | null;
}

function lastOf(timeline: readonly TimelineEntry[], kind: TimelineKind): number | null {
  const entry = timeline.findLast((candidate) => candidate.kind === kind);
  return entry === undefined ? null : Date.parse(entry.time);
}

function firstOf(timeline: readonly TimelineEntry[], kind: TimelineKind): number | null {
  const entry = timeline.find((candidate) => candidate.kind === kind);
  return entry === undefined ? null : Date.parse(entry.time);
}

export function momentsOf(incident: Incident, timeline: readonly TimelineEntry[]): Moments {
  return {
    fault: Date.parse(incident.first_bad_at),
    detected: Date.parse(incident.opened_at),
    acted: firstOf(timeline, "acted"),
    verified: lastOf(timeline, "verified"),
    closed: incident.closed_at === null ? null : Date.parse(incident.closed_at),
    recovered: lastOf(timeline, "recovered"),
  };
}

/** Consecutive phases up to `now`; one that took no time, or went backwards, is left out. */
export function phasesOf(moments: Moments, now: number): Phase[] {
  const { fault, detected, acted, verified, closed, recovered } = moments;
  const troubleEnds = closed ?? now;
  const acts = acted ?? troubleEnds;
  const proven = verified ?? troubleEnds;
  const phases: Phase[] = [
    { name: "Unnoticed", what: "first bad second to detection", tone: "bad", from: fault, to: detected },
    {
      name: acted === null ? "Trouble" : "Deciding",
      what: acted !== null ? "detection to action" : closed === null ? "no action so far" : "no action was taken",
      tone: "warn",
      from: detected,
      to: acts,
    },
    ...(acted === null
      ? []
      : [{ name: "Measuring", what: "action to verdict", tone: "info" as const, from: acted, to: proven }]),
    ...(verified === null
      ? []
      : [{ name: "Settling", what: "verdict to close", tone: "ok" as const, from: verified, to: troubleEnds }]),
    ...(recovered === null || closed === null
      ? []
      : [{ name: "Hold-off", what: "close to re-arming", tone: "ok" as const, from: closed, to: recovered }]),
  ];
  return phases.filter((phase) => phase.to > phase.from);
}
