/** The answers that index.html asked for before this code had arrived. Each is used once. */

import type { TraceColumns } from "./traceColumns";
import type { Overview } from "./types";

declare global {
  interface Window {
    homeostatFirst?: Promise<Overview | null> | undefined;
    homeostatTrace?: { id: string; answer: Promise<TraceColumns | null> } | undefined;
  }
}

export async function takeFirstOverview(): Promise<Overview | null> {
  const first = window.homeostatFirst;
  window.homeostatFirst = undefined;
  return first === undefined ? null : await first;
}

export async function takeFirstTrace(traceId: string): Promise<TraceColumns | null> {
  const first = window.homeostatTrace;
  window.homeostatTrace = undefined;
  return first?.id === traceId ? await first.answer : null;
}
