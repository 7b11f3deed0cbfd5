/** A trace as columns, one of its spans, and a text within it: `homeostat.core.trace_columns` and docs/api.md. */

import { queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";

import { getJson } from "./client";
import { takeFirstTrace } from "./first";
import type { Span } from "./types";

export const NO_PARENT = -1;
export const PARENT_MISSING = -2;
export const SPAN_ID_DIGITS = 16;
export const STATUSES = ["unset", "ok", "error"] as const;
export const STATUS_ERROR = 2;
export const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"] as const;

/** All spans by start: one entry a span in every column but the names themselves. */
export interface TraceColumns {
  trace_id: string;
  start: string;
  start_unix_nano: number;
  span_ids: string; // 16 digits a span
  parents: number[]; // place in these columns, or NO_PARENT, or PARENT_MISSING
  services: string[];
  service: number[];
  names: string[];
  name: number[];
  start_ns: number[]; // since the start of the trace
  duration_ns: number[];
  kind: number[];
  status: number[];
  sampling_probability: number;
  sampling_reason: string;
}

function pathOf(traceId: string): string {
  return `/api/traces/${encodeURIComponent(traceId)}`;
}

const columnsOf = (traceId: string) =>
  queryOptions({
    queryKey: ["trace", traceId, "columns"],
    queryFn: async ({ signal }) =>
      (await takeFirstTrace(traceId)) ?? getJson<TraceColumns>(`${pathOf(traceId)}/columns`, {}, signal),
    staleTime: 30_000,
    structuralSharing: false,
  });

export function useTraceColumns(traceId: string) {
  return useQuery(columnsOf(traceId));
}

/** Whether there is a trace of an id; what is read for it is what its page shows. */
export function useIsStored(): (traceId: string) => Promise<boolean> {
  const client = useQueryClient();
  return async (traceId) => {
    try {
      await client.query(columnsOf(traceId));
      return true;
    } catch {
      return false; // why, the answer below the form says
    }
  };
}

/** What is only asked for once a span is chosen: attributes, events, links. */
export function useSpan(traceId: string, spanId: string) {
  return useQuery({
    queryKey: ["trace", traceId, "span", spanId],
    queryFn: ({ signal }) => getJson<Span>(`${pathOf(traceId)}/spans/${encodeURIComponent(spanId)}`, {}, signal),
    staleTime: 30_000,
    structuralSharing: false,
  });
}

/** Ids of the spans that have the text in what is not in the columns, such as attributes. */
export function useMatches(traceId: string, text: string) {
  return useQuery({
    queryKey: ["trace", traceId, "matches", text],
    queryFn: ({ signal }) => getJson<{ span_ids: string[] }>(`${pathOf(traceId)}/matches`, { text }, signal),
    enabled: text !== "",
    staleTime: 30_000,
    structuralSharing: false,
  });
}
