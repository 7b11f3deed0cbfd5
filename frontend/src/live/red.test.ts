import { describe, expect, it } from "vitest";

import type { RedSeriesPoint } from "../api/types";
import { extendSeries, foldRed, SERVICES_MAX, WINDOW_S, type RedSecond, type RedWindow } from "./red";

const T0 = 1_700_000_000;
const iso = (seconds: number) => new Date(seconds * 1_000).toISOString();
const counts = (requests: number, errors = 0) => ({ requests, errors, p50_ms: 1, p95_ms: 2 });
const EMPTY: RedWindow = new Map();

describe("folding live seconds", () => {
  it("keeps the newest seconds and no more, however long the page stays open", () => {
    let window = EMPTY;
    for (let second = 0; second < 3 * WINDOW_S; second += 1) {
      window = foldRed(window, { time: iso(T0 + second), services: { shop: counts(second) } });
    }
    const kept = window.get("shop") ?? [];
    expect(kept.length).toBe(WINDOW_S);
    expect(kept.at(-1)?.requests).toBe(3 * WINDOW_S - 1);
  });

  it("forgets a service that fell silent", () => {
    let window = foldRed(EMPTY, { time: iso(T0), services: { old: counts(1) } });
    window = foldRed(window, { time: iso(T0 + WINDOW_S + 1), services: { young: counts(1) } });
    expect([...window.keys()]).toEqual(["young"]);
  });

  it("a second that is told twice counts once", () => {
    let window = foldRed(EMPTY, { time: iso(T0), services: { shop: counts(5) } });
    window = foldRed(window, { time: iso(T0), services: { shop: counts(6) } });
    expect(window.get("shop")?.map((second) => second.requests)).toEqual([6]);
  });

  it("does not grow without bound when names are made up", () => {
    const services = Object.fromEntries(Array.from({ length: SERVICES_MAX + 50 }, (_, n) => [`s${n}`, counts(1)]));
    expect(foldRed(EMPTY, { time: iso(T0), services }).size).toBe(SERVICES_MAX);
  });

  it("ignores a time that is none", () => {
    expect(foldRed(EMPTY, { time: "yesterday", services: { shop: counts(1) } })).toBe(EMPTY);
  });
});

describe("extending a series", () => {
  const second = (time: number, requests: number, errors = 0): RedSecond => ({ time, requests, errors, p95_ms: 3 });
  const point: RedSeriesPoint = {
    time: iso(T0),
    requests: 10,
    errors: 0,
    request_rate: 2,
    error_rate: 0,
    p50_ms: 1,
    p95_ms: 2,
    p99_ms: 3,
  };

  it("adds counts up exactly and divides by the seconds that were seen", () => {
    const extended = extendSeries([point], 5, [second(T0 + 4, 99), second(T0 + 5, 6, 1), second(T0 + 6, 4, 1)]);
    expect(extended.length).toBe(2);
    expect(extended[1]).toMatchObject({ time: iso(T0 + 5), requests: 10, errors: 2, request_rate: 5, error_rate: 0.2 });
  });

  it("does not invent percentiles for a step that is still running", () => {
    expect(extendSeries([point], 5, [second(T0 + 5, 6)])[1]).toMatchObject({ p50_ms: null, p95_ms: null, p99_ms: null });
  });

  it("has no error rate where there was no request", () => {
    expect(extendSeries([], 5, [second(T0, 0)])[0]?.error_rate).toBeNull();
  });
});
