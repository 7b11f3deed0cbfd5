/** Traces as the tests of this folder make them: spans by name, in any order. */

import { NO_PARENT, PARENT_MISSING, SPAN_ID_DIGITS, STATUS_ERROR, type TraceColumns } from "../../api/traceColumns";

const T0 = 1_700_000_000_000; // Unix milliseconds

export interface Made {
  id: string;
  parent: string | null;
  startMs: number;
  durationMs: number;
  name: string;
  service: string;
  failed: boolean;
}

export function idOf(text: string): string {
  return text.padStart(SPAN_ID_DIGITS, "0");
}

export function span(id: string, parent: string | null, startMs: number, durationMs: number, more: Partial<Made> = {}): Made {
  return { id, parent, startMs, durationMs, name: id, service: "shop", failed: false, ...more };
}

/** As the server gives them: by start, the root first, then the longer ones. */
export function columnsOf(made: readonly Made[]): TraceColumns {
  const spans = made.toSorted(
    (a, b) => a.startMs - b.startMs || Number(a.parent !== null) - Number(b.parent !== null) || b.durationMs - a.durationMs,
  );
  const places = new Map(spans.map((one, index) => [one.id, index]));
  const services = [...new Set(spans.map((one) => one.service))];
  const names = [...new Set(spans.map((one) => one.name))];
  const placeOf = (list: string[]) => new Map(list.map((text, index) => [text, index]));
  const [serviceAt, nameAt] = [placeOf(services), placeOf(names)];
  const first = spans[0]?.startMs ?? 0;
  return {
    trace_id: "7".repeat(32),
    start: new Date(T0 + first).toISOString(),
    start_unix_nano: (T0 + first) * 1e6,
    span_ids: spans.map((one) => idOf(one.id)).join(""),
    parents: spans.map((one) => (one.parent === null ? NO_PARENT : (places.get(one.parent) ?? PARENT_MISSING))),
    services,
    service: spans.map((one) => serviceAt.get(one.service) ?? 0),
    names,
    name: spans.map((one) => nameAt.get(one.name) ?? 0),
    start_ns: spans.map((one) => (one.startMs - first) * 1e6),
    duration_ns: spans.map((one) => one.durationMs * 1e6),
    kind: spans.map(() => 2),
    status: spans.map((one) => (one.failed ? STATUS_ERROR : 0)),
    sampling_probability: 1,
    sampling_reason: "",
  };
}
