/** The newest seconds of every service, as `/api/live` tells them. Bounded: a page may stay open for days. */

import type { LiveRed, RedSeriesPoint } from "../api/types";

export interface RedSecond {
  time: number; // Unix seconds
  requests: number;
  errors: number;
  p95_ms: number | null;
}

export type RedWindow = ReadonlyMap<string, readonly RedSecond[]>;

export const WINDOW_S = 120;
export const SERVICES_MAX = 1_000;

/** Adds one second. Services that fell silent leave the window when their last second does. */
export function foldRed(window: RedWindow, live: LiveRed): RedWindow {
  const time = Math.floor(Date.parse(live.time) / 1_000);
  if (!Number.isFinite(time)) return window;
  const next = new Map<string, readonly RedSecond[]>();
  for (const [service, seconds] of window) {
    const kept = seconds.filter((second) => second.time > time - WINDOW_S && second.time !== time);
    if (kept.length > 0) next.set(service, kept);
  }
  for (const [service, counts] of Object.entries(live.services)) {
    if (!next.has(service) && next.size >= SERVICES_MAX) continue;
    const second = { time, requests: counts.requests, errors: counts.errors, p95_ms: counts.p95_ms };
    next.set(service, [...(next.get(service) ?? []), second]);
  }
  return next;
}

/**
 * Appends live seconds to a series from the server. Counts add up exactly; percentiles do not, so those of a step
 * that is still running stay unknown until the server has folded it.
 */
export function extendSeries(
  points: readonly RedSeriesPoint[],
  stepS: number,
  seconds: readonly RedSecond[],
): RedSeriesPoint[] {
  const last = points.at(-1);
  const from = last === undefined ? -Infinity : Date.parse(last.time) / 1_000 + stepS;
  const fresh = new Map<number, { requests: number; errors: number; seconds: number }>();
  for (const second of seconds) {
    if (second.time < from) continue;
    const start = Math.floor(second.time / stepS) * stepS;
    const sum = fresh.get(start) ?? { requests: 0, errors: 0, seconds: 0 };
    fresh.set(start, {
      requests: sum.requests + second.requests,
      errors: sum.errors + second.errors,
      seconds: sum.seconds + 1,
    });
  }
  const added = [...fresh.entries()].sort(([a], [b]) => a - b).map(([start, sum]) => ({
    time: new Date(start * 1_000).toISOString(),
    requests: sum.requests,
    errors: sum.errors,
    request_rate: sum.requests / sum.seconds,
    error_rate: sum.requests > 0 ? sum.errors / sum.requests : null,
    p50_ms: null,
    p95_ms: null,
    p99_ms: null,
  }));
  return [...points, ...added];
}
