/** A range of time as it stands in the address: the last so many minutes, or from one moment to another. */

import type { Params } from "../api/client";

export interface Range {
  minutes: string; // "" means that start and end hold
  start: string; // ISO 8601, UTC
  end: string;
}

const MINUTE_MS = 60_000;

export function readRange(params: URLSearchParams, usual: string): Range {
  const absolute = params.has("start") || params.has("end");
  return {
    minutes: absolute ? "" : (params.get("minutes") ?? usual),
    start: params.get("start") ?? "",
    end: params.get("end") ?? "",
  };
}

/** Only what differs from the usual stands in the address. */
export function writeRange(params: URLSearchParams, range: Range, usual: string): void {
  for (const name of ["minutes", "start", "end"]) params.delete(name);
  if (range.minutes === "") {
    params.set("start", range.start);
    params.set("end", range.end);
  } else if (range.minutes !== usual) params.set("minutes", range.minutes);
}

export function rangeParams(range: Range): Params {
  return range.minutes === "" ? { start: range.start, end: range.end } : { minutes: range.minutes };
}

/** What is wrong with the range, in words for a person; null when it can be asked. */
export function rangeProblem(range: Range): string | null {
  if (range.minutes !== "") return Number(range.minutes) > 0 ? null : "The number of minutes is above 0.";
  if (range.start === "" || range.end === "") return "Give both the beginning and the end.";
  return Date.parse(range.start) < Date.parse(range.end) ? null : "The beginning has to lie before the end.";
}

/** How long it is; null when it is not one. */
export function rangeSeconds(range: Range): number | null {
  if (rangeProblem(range) !== null) return null;
  if (range.minutes !== "") return Number(range.minutes) * 60;
  return (Date.parse(range.end) - Date.parse(range.start)) / 1_000;
}

/** The range that begins and ends at these moments. */
export function between(startMs: number, endMs: number): Range {
  return { minutes: "", start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() };
}

/** The relative range as it is now, to begin an absolute one from. */
export function pinned(range: Range, nowMs: number): Range {
  const minutes = Number(range.minutes);
  return range.minutes === "" || !(minutes > 0) ? range : between(nowMs - minutes * MINUTE_MS, nowMs);
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400];

/** A round step that cuts so many seconds into at most so many parts. */
export function stepFor(seconds: number, parts: number, atLeast = 1): number {
  return STEPS_S.find((step) => step >= atLeast && seconds / step <= parts) ?? Math.ceil(seconds / parts / 86_400) * 86_400;
}
