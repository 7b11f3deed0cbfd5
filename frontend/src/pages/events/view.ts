/** The filter of the timeline as it stands in the address, and the marks of events. */

import type { Params } from "../../api/client";
import type { EventType, SystemEvent } from "../../api/events";
import { rangeParams, readRange, type Range } from "../../lib/range";
import type { Mark, Tone } from "../../lib/status";
import { words } from "../../lib/format";

export const USUAL_MINUTES = "60";
export const TYPES: readonly EventType[] = ["incident", "alert", "anomaly", "deployment"];
const LIMIT = 500;

export interface EventFilter {
  type: string;
  severity: string;
  service: string;
  text: string;
  range: Range;
}

export function readFilter(params: URLSearchParams): EventFilter {
  const get = (name: string) => params.get(name) ?? "";
  return { type: get("type"), severity: get("severity"), service: get("service"), text: get("q"), range: readRange(params, USUAL_MINUTES) };
}

export function eventParams(filter: EventFilter): Params {
  const { type, severity, service, text } = filter;
  return { type, severity, service, text, limit: LIMIT, ...rangeParams(filter.range) };
}

const TONES: Record<SystemEvent["severity"], Tone> = { info: "info", warning: "warn", critical: "bad" };

export function eventMark(event: SystemEvent): Mark {
  const tone = TONES[event.severity];
  if (event.type === "incident") return { tone, icon: "alert", word: "Incident" };
  if (event.type === "alert") return { tone, icon: "warning", word: "Alert" };
  if (event.type === "anomaly") return { tone, icon: "pulse", word: "Anomaly" };
  return { tone, icon: event.change === "flag" ? "flag" : "bolt", word: words(event.change ?? "deployment") };
}

/** The page on which an event is told in full, when there is one. */
export function pageOf(event: SystemEvent): string | null {
  const slo = /^slo:(.+)$/.exec(event.source)?.[1];
  if (slo !== undefined) return `/slos/${encodeURIComponent(slo)}`;
  const incident = /^incident\|(.+)$/.exec(event.fingerprint)?.[1];
  return event.type === "incident" && incident !== undefined ? `/incidents/${encodeURIComponent(incident)}` : null;
}

const BEFORE_MS = 900_000;

/** The pages of traces and logs about an event: its services, from a quarter of an hour before. */
export function lookFurther(event: SystemEvent, page: "/traces" | "/logs", nowMs: number): string {
  const start = Date.parse(event.time) - BEFORE_MS;
  const end = event.ended_at === null ? Math.min(nowMs, Date.parse(event.time) + BEFORE_MS) : Date.parse(event.ended_at) + 60_000;
  const query = new URLSearchParams({ start: new Date(start).toISOString(), end: new Date(end).toISOString() });
  const service = event.services[0];
  if (service !== undefined) query.set("service", service);
  return `${page}?${query.toString()}`;
}
