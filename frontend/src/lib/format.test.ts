import { describe, expect, it } from "vitest";

import { ago, bytes, compactCount, duration, grouped, measured, offset, percent, rate, signalName } from "./format";

describe("durations", () => {
  it.each([
    [0, "0 ms"],
    [0.0004, "1 µs"],
    [0.25, "250 µs"],
    [1.5, "1.5 ms"],
    [12, "12 ms"],
    [99.96, "100 ms"],
    [348.2, "348 ms"],
    [999.9, "1 s"],
    [0.99996, "1 ms"],
    [59_970, "1 min"],
    [3_599_900, "1 h"],
    [2_300, "2.3 s"],
    [59_940, "59.9 s"],
    [60_000, "1 min"],
    [316_000, "5 min 16 s"],
    [3_600_000, "1 h"],
    [7_500_000, "2 h 5 min"],
    [90_000_000, "1 d 1 h"],
    [-1_500, "-1.5 s"],
  ])("%d ms reads %s", (ms, text) => expect(duration(ms)).toBe(text));
});

describe("shares", () => {
  it("a small share is never rounded to nothing", () => expect(percent(0.0004)).toBe("< 0.1 %"));
  it("almost all is never rounded to all", () => expect(percent(0.9996)).toBe("> 99.9 %"));
  it("nothing is 0 %", () => expect(percent(0)).toBe("0 %"));
  it("a third keeps one digit", () => expect(percent(0.348)).toBe("34.8 %"));
  it("100 % keeps its zeros", () => expect(percent(1)).toBe("100 %"));
});

describe("counts, rates, bytes and units", () => {
  it.each([
    [950, "950"],
    [9_999, "9,999"],
    [12_345, "12.3 k"],
    [1_234_567, "1.23 M"],
    [2_000_000_000, "2 G"],
  ])("%d reads %s", (value, text) => expect(compactCount(value)).toBe(text));
  it.each([0, 1, 99.6, 100, 999, 1_000, 12_345, 999_999, 1_000_000, 1_234_567_890, -1, -999, -1_000, -1_234_567])(
    "%d has its digits in groups of three",
    (value) => expect(grouped(value)).toBe(Math.round(value).toLocaleString("en")),
  );
  it("a trickle is not zero", () => expect(rate(0.02)).toBe("< 0.1"));
  it("bytes use binary units", () => expect(bytes(40_000_000)).toBe("38 MiB"));
  it("a ratio is shown as percent, a duration in its unit, the rest with what it was sent", () => {
    expect(measured(0.05, "ratio")).toBe("5 %");
    expect(measured(1_900, "ms")).toBe("1.9 s");
    expect(measured(0, "bool")).toBe("no");
    expect(measured(3.25, "req/s")).toBe("3.25 req/s");
  });
});

describe("names", () => {
  it("a signal is named without its unit", () => {
    expect(signalName("latency_p95_ms")).toBe("Latency p95");
    expect(signalName("error_rate")).toBe("Error rate");
    expect(signalName("cpu_pressure")).toBe("CPU pressure");
  });
});

describe("moments", () => {
  const now = new Date("2026-01-01T12:00:00Z");
  it.each([
    ["2026-01-01T11:59:59.5Z", "now"],
    ["2026-01-01T11:59:20Z", "40 s ago"],
    ["2026-01-01T11:50:00Z", "10 min ago"],
    ["2025-12-30T12:00:00Z", "2 d ago"],
  ])("%s is %s", (time, text) => expect(ago(new Date(time), now)).toBe(text));
  it("an offset has a sign", () => {
    expect(offset(new Date("2026-01-01T12:00:02.300Z"), now)).toBe("+2.3 s");
    expect(offset(new Date("2026-01-01T11:59:56Z"), now)).toBe("−4 s");
  });
});
