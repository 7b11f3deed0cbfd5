/** The search as it stands in the address, in the form, and in the question to the API. */

import type { Params } from "../../api/client";

export interface Search {
  service: string;
  operation: string;
  text: string; // occurs anywhere in a span
  minDurationMs: string;
  maxDurationMs: string;
  errorsOnly: boolean;
  attribute: string; // key=value
  minutes: string; // "" means that start and end hold
  start: string; // ISO 8601, UTC
  end: string;
  limit: string;
}

export const DEFAULT_SEARCH: Search = {
  service: "",
  operation: "",
  text: "",
  minDurationMs: "",
  maxDurationMs: "",
  errorsOnly: false,
  attribute: "",
  minutes: "15",
  start: "",
  end: "",
  limit: "50",
};

const NAMES = {
  service: "service",
  operation: "operation",
  text: "text",
  minDurationMs: "min_duration_ms",
  maxDurationMs: "max_duration_ms",
  attribute: "attribute",
  start: "start",
  end: "end",
  limit: "limit",
} as const;

export function readSearch(params: URLSearchParams): Search {
  const absolute = params.has("start") || params.has("end");
  const search = { ...DEFAULT_SEARCH, errorsOnly: params.get("errors_only") === "true" };
  for (const [field, name] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
    search[field] = params.get(name) ?? DEFAULT_SEARCH[field];
  }
  search.minutes = absolute ? "" : (params.get("minutes") ?? DEFAULT_SEARCH.minutes);
  return search;
}

/** Only what differs from the default stands in the address. */
export function writeSearch(search: Search): URLSearchParams {
  const params = new URLSearchParams();
  for (const [field, name] of Object.entries(NAMES) as [keyof typeof NAMES, string][]) {
    const isTime = field === "start" || field === "end";
    if (isTime && search.minutes !== "") continue;
    if (search[field] !== DEFAULT_SEARCH[field]) params.set(name, search[field]);
  }
  if (search.errorsOnly) params.set("errors_only", "true");
  if (search.minutes !== "" && search.minutes !== DEFAULT_SEARCH.minutes) params.set("minutes", search.minutes);
  return params;
}

/** The conditions, without how many traces: what questions about many traces take. */
export function conditions(search: Search): Params {
  const relative = search.minutes !== "";
  return {
    service: search.service,
    operation: search.operation,
    text: search.text,
    min_duration_ms: search.minDurationMs,
    max_duration_ms: search.maxDurationMs,
    errors_only: search.errorsOnly ? true : null,
    attribute: search.attribute,
    minutes: relative ? search.minutes : null,
    start: relative ? null : search.start,
    end: relative ? null : search.end,
  };
}

export function apiParams(search: Search): Params {
  return { ...conditions(search), limit: search.limit };
}

/** The address of a page of traces. */
export function searchPath(change: Partial<Search>): string {
  const params = writeSearch({ ...DEFAULT_SEARCH, ...change }).toString();
  return params === "" ? "/traces" : `/traces?${params}`;
}

/** What is wrong with the search, in words for a person; null when it can be asked. */
export function searchProblem(search: Search): string | null {
  if (search.attribute !== "" && !/^[^=\s]+=.+/.test(search.attribute)) {
    return "Write the attribute as key=value, for example http.response.status_code=500.";
  }
  if (search.minDurationMs !== "" && !(Number(search.minDurationMs) >= 0)) {
    return "The shortest duration is a number of milliseconds.";
  }
  if (search.maxDurationMs !== "" && !(Number(search.maxDurationMs) >= 0)) {
    return "The longest duration is a number of milliseconds.";
  }
  if (search.minDurationMs !== "" && search.maxDurationMs !== "" && Number(search.minDurationMs) > Number(search.maxDurationMs)) {
    return "The shortest duration is longer than the longest.";
  }
  if (search.minutes === "") {
    if (search.start === "" || search.end === "") return "Give both the beginning and the end.";
    if (!(Date.parse(search.start) < Date.parse(search.end))) return "The beginning has to lie before the end.";
  }
  return null;
}

/** The 32 digits of a trace id of 16 or 32, with or without dashes and blanks; null for any other text. */
export function traceIdOf(text: string): string | null {
  const digits = text.replace(/[\s-]/g, "").toLowerCase();
  return /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/.test(digits) ? digits.padStart(32, "0") : null;
}
