/** Log records: what the API says of them (docs/api.md, "Logs"), and the hooks that ask. */

import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { getJson, type Params } from "./client";

export const SEVERITIES = ["fatal", "error", "warn", "info", "debug", "trace", "unspecified"] as const;
export type LogSeverity = (typeof SEVERITIES)[number];

export interface LogRecord {
  id: string;
  time: string;
  severity_number: number;
  severity: LogSeverity;
  service: string;
  body: string;
  trace_id: string | null;
  span_id: string | null;
  event_name: string;
  scope: string;
  attributes: Record<string, string>;
  resource: Record<string, string>;
}

export interface LogPage {
  records: LogRecord[];
  next_cursor: string | null;
}

export type SeverityCounts = Partial<Record<LogSeverity, number>>;

export interface LogCounts {
  start: string;
  end: string;
  step_s: number;
  total: number;
  totals: SeverityCounts;
  steps: { time: string; total: number; counts: SeverityCounts }[];
}

export interface LogContext {
  trace_id: string | null;
  span_id: string | null;
  service: string | null;
  start: string | null;
  end: string | null;
  entries: { relation: "span" | "trace" | "service"; record: LogRecord }[];
  notes: string[];
}

export interface LogPattern {
  id: string;
  service: string;
  template: string;
  severity: LogSeverity;
  severities: SeverityCounts;
  count: number;
  share: number;
  previous_count: number;
  change: number | null; // count / previous_count - 1
  is_new: boolean | null;
  first_seen: string;
  last_seen: string;
  timeline: number[];
  examples: LogRecord[];
}

export interface LogPatterns {
  start: string;
  end: string;
  step_s: number;
  records_total: number;
  records_read: number;
  sampled: boolean;
  patterns: LogPattern[];
  patterns_total: number;
  notes: string[];
}

const PAGE = 200;

/** The records page by page, newest first. `everyMs`: the tail is followed. */
export function useLogs(params: Params, enabled: boolean, everyMs: number | false) {
  return useInfiniteQuery({
    queryKey: ["logs", "search", params],
    queryFn: ({ signal, pageParam }) =>
      getJson<LogPage>("/api/logs", { ...params, limit: PAGE, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor,
    placeholderData: keepPreviousData,
    refetchInterval: everyMs,
    enabled,
  });
}

export function useLogCounts(params: Params, enabled: boolean, everyMs: number | false) {
  return useQuery({
    queryKey: ["logs", "counts", params],
    queryFn: ({ signal }) => getJson<LogCounts>("/api/logs/counts", params, signal),
    placeholderData: keepPreviousData,
    refetchInterval: everyMs,
    enabled,
  });
}

export function useLogPatterns(params: Params, enabled: boolean) {
  return useQuery({
    queryKey: ["logs", "patterns", params],
    queryFn: ({ signal }) => getJson<LogPatterns>("/api/logs/patterns", params, signal),
    placeholderData: keepPreviousData,
    enabled,
  });
}

export function useLogContext(params: Params) {
  return useQuery({
    queryKey: ["logs", "context", params],
    queryFn: ({ signal }) => getJson<LogContext>("/api/logs/context", params, signal),
    staleTime: 60_000,
  });
}
