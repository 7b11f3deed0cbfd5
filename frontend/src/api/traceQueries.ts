/** What the pages of traces read, as TanStack Query hooks. */

import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { getJson, type Params } from "./client";
import type {
  Bottlenecks,
  Dependencies,
  Differences,
  Latency,
  RequestFigures,
  SpanLogs,
  TraceAnalysis,
  TraceComparison,
  TracePage,
} from "./traceTypes";

/** Page after page of a search. */
export function useTracePages(params: Params, enabled: boolean) {
  return useInfiniteQuery({
    queryKey: ["traces", params],
    queryFn: ({ signal, pageParam }) => getJson<TracePage>("/api/traces", { ...params, cursor: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
    placeholderData: keepPreviousData,
    enabled,
  });
}

function useQuestion<T>(path: string, params: Params, enabled = true) {
  return useQuery({
    queryKey: ["question", path, params],
    queryFn: ({ signal }) => getJson<T>(path, params, signal),
    placeholderData: keepPreviousData,
    structuralSharing: false,
    staleTime: 5_000,
    enabled,
  });
}

export function useDifferences(params: Params, enabled: boolean) {
  return useQuestion<Differences>("/api/analysis/differences", params, enabled);
}

export function useBottlenecks(params: Params, enabled: boolean) {
  return useQuestion<Bottlenecks>("/api/analysis/bottlenecks", params, enabled);
}

export function useLatency(params: Params, enabled: boolean) {
  return useQuestion<Latency>("/api/latency", params, enabled);
}

export function useOperationFigures(params: Params, enabled: boolean) {
  return useQuestion<{ operations: RequestFigures[] }>("/api/latency/operations", params, enabled);
}

export function useDependencies(params: Params, enabled: boolean) {
  return useQuestion<Dependencies>("/api/dependencies", params, enabled);
}

export function useComparison(left: string, right: string) {
  return useQuestion<TraceComparison>("/api/traces/compare", { left, right }, left !== "" && right !== "");
}

/** Where the time of a trace went. It comes after the trace itself: the first rows do not wait for it. */
export function useTraceAnalysis(traceId: string) {
  return useQuery({
    queryKey: ["trace", traceId, "analysis"],
    queryFn: ({ signal }) => getJson<TraceAnalysis>(`/api/traces/${encodeURIComponent(traceId)}/analysis`, { spans: "shifted" }, signal),
    staleTime: 30_000,
    structuralSharing: false,
  });
}

export function useSpanLogs(traceId: string, spanId: string) {
  return useQuery({
    queryKey: ["span-logs", traceId, spanId],
    queryFn: ({ signal }) =>
      getJson<SpanLogs>("/api/logs/context", { trace_id: traceId, span_id: spanId, seconds: 1, limit: 50 }, signal),
    staleTime: 10_000,
    retry: false,
  });
}
