/** The search for log records as it stands in the address and in the question to the API. */

import type { Params } from "../../api/client";
import type { LogSeverity } from "../../api/logs";
import { rangeParams, rangeProblem, readRange, writeRange, type Range } from "../../lib/range";
import type { Tone } from "../../lib/status";

export const USUAL_MINUTES = "15";

export interface LogSearch {
  text: string;
  service: string;
  severity: string; // at least; "": any
  attributes: string[]; // key=value
  traceId: string;
  spanId: string;
  range: Range;
}

export const NO_SEARCH: LogSearch = {
  text: "",
  service: "",
  severity: "",
  attributes: [],
  traceId: "",
  spanId: "",
  range: { minutes: USUAL_MINUTES, start: "", end: "" },
};

const NAMES = { text: "text", service: "service", severity: "min_severity", traceId: "trace_id", spanId: "span_id" } as const;

export function readSearch(params: URLSearchParams): LogSearch {
  const search = { ...NO_SEARCH, attributes: params.getAll("attribute"), range: readRange(params, USUAL_MINUTES) };
  for (const [field, name] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
    search[field] = params.get(name) ?? "";
  }
  return search;
}

/** Writes the search over what stands in the address; what else stands there (the tab) is kept. */
export function writeSearch(old: URLSearchParams, search: LogSearch): URLSearchParams {
  const params = new URLSearchParams(old);
  for (const [field, name] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
    if (search[field] === "") params.delete(name);
    else params.set(name, search[field]);
  }
  params.delete("attribute");
  for (const pair of search.attributes) params.append("attribute", pair);
  writeRange(params, search.range, USUAL_MINUTES);
  return params;
}

export function apiParams(search: LogSearch): Params {
  // Without a chosen time, the records of a trace are looked for in all that is stored.
  const anyTime = search.traceId !== "" && search.range.minutes === USUAL_MINUTES;
  return {
    text: search.text,
    service: search.service,
    min_severity: search.severity,
    attribute: search.attributes,
    trace_id: search.traceId,
    span_id: search.spanId,
    ...(anyTime ? {} : rangeParams(search.range)),
  };
}

/** "a=1 b=2" from a field, to pairs. Values with spaces stand in quotes: a="1 2". */
export function pairsOf(text: string): string[] {
  return [...text.matchAll(/([^\s=]+)=(?:"([^"]*)"|(\S*))/g)].map((match) => `${match[1] ?? ""}=${match[2] ?? match[3] ?? ""}`);
}

export function pairsText(pairs: readonly string[]): string {
  return pairs
    .map((pair) => {
      const at = pair.indexOf("=");
      const value = pair.slice(at + 1);
      return /\s/.test(value) ? `${pair.slice(0, at)}="${value}"` : pair;
    })
    .join(" ");
}

/** What is wrong, in words for a person; null when it can be asked. */
export function searchProblem(search: LogSearch, attributeText?: string): string | null {
  if (attributeText !== undefined && attributeText.trim() !== "" && pairsOf(attributeText).length === 0) {
    return "Write the attribute as key=value, for example shop.region=eu.";
  }
  if (search.attributes.some((pair) => pair.indexOf("=") < 1)) return "Write the attribute as key=value.";
  if (search.traceId !== "" && !/^[0-9a-f]{32}$/i.test(search.traceId)) return "A trace id has 32 hexadecimal digits.";
  return rangeProblem(search.range);
}

export const severityTones: Record<LogSeverity, Tone> = {
  fatal: "bad",
  error: "bad",
  warn: "warn",
  info: "info",
  debug: "unknown",
  trace: "unknown",
  unspecified: "unknown",
};

/** The colour of each severity in the histogram. */
export const severityColors: Record<LogSeverity, string> = {
  fatal: "--span-5",
  error: "--series-bad",
  warn: "--span-3",
  info: "--series-1",
  debug: "--span-1",
  trace: "--span-7",
  unspecified: "--border-strong",
};
