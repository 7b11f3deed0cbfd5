/** Numbers and times as people read them. A value that is not known is null here and "no data" on the screen. */

const MINUTE_S = 60;
const HOUR_S = 3_600;
const DAY_S = 86_400;

function trimmed(value: number, digits: number): string {
  return value.toFixed(digits).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** 1234567 -> "1,234,567". The browser's own way costs 15 ms when it is first used, and that is before the first paint. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** 1234567 -> "1.23 M", 950 -> "950". */
export function compactCount(value: number): string {
  if (value < 10_000) return grouped(value);
  if (value < 1e6) return `${trimmed(value / 1e3, 1)} k`;
  if (value < 1e9) return `${trimmed(value / 1e6, 2)} M`;
  return `${trimmed(value / 1e9, 2)} G`;
}

/** Requests per second. */
export function rate(value: number): string {
  if (value === 0) return "0";
  if (value < 0.1) return "< 0.1";
  if (value < 100) return value.toFixed(1);
  return compactCount(value);
}

/** A ratio 0..1 as percent. A small share is never rounded to nothing. */
export function percent(ratio: number): string {
  const value = ratio * 100;
  if (value === 0) return "0 %";
  if (value < 0.1) return "< 0.1 %";
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${trimmed(value, value < 10 ? 2 : 1)} %`;
}

/** Milliseconds in the unit that reads best. */
export function duration(ms: number): string {
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  // Each limit is where rounding would reach the next unit: 999.9 ms reads "1 s", not "1000 ms".
  if (ms < 0.9995) return `${Math.max(1, Math.round(ms * 1_000))} µs`;
  if (ms < 9.995) return `${trimmed(ms, 2)} ms`;
  if (ms < 999.5) return `${trimmed(ms, ms < 99.95 ? 1 : 0)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 9.995) return `${trimmed(seconds, 2)} s`;
  if (seconds < MINUTE_S - 0.05) return `${trimmed(seconds, 1)} s`;
  const whole = Math.round(seconds);
  if (whole < HOUR_S) return twoUnits(whole, MINUTE_S, "min", 1, "s");
  if (whole < DAY_S) return twoUnits(Math.round(whole / MINUTE_S), MINUTE_S, "h", 1, "min");
  return twoUnits(Math.round(whole / HOUR_S), 24, "d", 1, "h");
}

function twoUnits(value: number, size: number, big: string, unit: number, small: string): string {
  const rest = (value % size) / unit;
  const head = `${Math.floor(value / size)} ${big}`;
  return rest === 0 ? head : `${head} ${rest} ${small}`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let amount = value;
  let unit = 0;
  while (amount >= 1_024 && unit < units.length - 1) {
    amount /= 1_024;
    unit += 1;
  }
  return `${trimmed(amount, amount < 10 && unit > 0 ? 1 : 0)} ${units[unit] ?? ""}`;
}

/** A measured value in the unit that the server names. */
export function measured(value: number, unit: string): string {
  switch (unit) {
    case "ratio":
      return percent(value);
    case "percent":
      return percent(value / 100);
    case "ms":
      return duration(value);
    case "s":
      return duration(value * 1_000);
    case "bool":
      return value === 0 ? "no" : "yes";
    default:
      return unit === "" ? trimmed(value, 2) : `${trimmed(value, 2)} ${unit}`;
  }
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

export function clockTime(date: Date, withMs = false): string {
  const base = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return withMs ? `${base}.${String(date.getMilliseconds()).padStart(3, "0")}` : base;
}

export function dayAndTime(date: Date, withMs = false): string {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clockTime(date, withMs)}`;
}

/** A moment on an axis: with a day where the axis is longer than one. */
export function axisTime(date: Date, spanS: number): string {
  if (spanS <= DAY_S) return clockTime(date);
  const day = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return spanS > 7 * DAY_S ? day : `${day} ${clockTime(date).slice(0, 5)}`;
}

/** "now", "12 s ago", "3 min ago". */
export function ago(date: Date, now: Date): string {
  const seconds = Math.round((now.getTime() - date.getTime()) / 1_000);
  if (seconds < 2) return "now";
  if (seconds < MINUTE_S) return `${seconds} s ago`;
  if (seconds < HOUR_S) return `${Math.floor(seconds / MINUTE_S)} min ago`;
  if (seconds < DAY_S) return `${Math.floor(seconds / HOUR_S)} h ago`;
  return `${Math.floor(seconds / DAY_S)} d ago`;
}

/** Distance from a reference, "+3.2 s". */
export function offset(date: Date, from: Date): string {
  const ms = date.getTime() - from.getTime();
  if (ms === 0) return "0 s";
  return `${ms < 0 ? "−" : "+"}${duration(Math.abs(ms))}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${compactCount(count)} ${count === 1 ? one : many}`;
}

/** "latency_p95_ms" -> "Latency p95": the unit stands beside the number. */
export function signalName(signal: string): string {
  return words(signal.replace(/_(ms|s|ratio|percent)$/, "")).replace(/\bcpu\b/i, "CPU");
}

/** "high_error_rate" -> "High error rate". */
export function words(name: string): string {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
