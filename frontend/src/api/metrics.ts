/** Metrics: what the API says of them (docs/api.md, "Metrics"), and the hooks that ask. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { getJson, type Params } from "./client";

export type MetricType = "gauge" | "sum" | "histogram" | "exponential_histogram" | "summary";

export interface MetricInfo {
  name: string;
  type: MetricType;
  unit: string;
  description: string;
  monotonic: boolean;
  services: string[];
  more_services: boolean; // than are named
}

export interface MetricSeries {
  name: string;
  labels: Record<string, string>;
  start_s: number;
  step_s: number;
  values: (number | null)[];
}

export interface MetricAnswer {
  name: string;
  start: string;
  end: string;
  step_s: number;
  series: MetricSeries[];
}

export interface Exemplar {
  time: string;
  value: number | null;
  trace_id: string;
  span_id: string;
  labels: Record<string, string>;
}

const CATALOG_EVERY_MS = 60_000;
const EVERY_MS = 15_000;
const DAY_MINUTES = 1_440;

/** Metrics with a point within these minutes. */
export function useMetricsCatalog(minutes: number, enabled = true) {
  return useQuery({
    queryKey: ["metrics", "catalog", minutes],
    queryFn: ({ signal }) => getJson<MetricInfo[]>("/api/metrics-catalog", { minutes }, signal),
    refetchInterval: CATALOG_EVERY_MS,
    enabled,
  });
}

const NONE: readonly string[] = [];

export function useMetricNames(enabled: boolean): readonly string[] {
  return useMetricsCatalog(DAY_MINUTES, enabled).data?.map((metric) => metric.name) ?? NONE;
}

/** `live`: the range is relative, so that a later answer holds more. */
export function useMetric(params: Params, enabled: boolean, live: boolean) {
  return useQuery({
    queryKey: ["metrics", "query", params],
    queryFn: ({ signal }) => getJson<MetricAnswer>("/api/metrics/query", params, signal),
    placeholderData: keepPreviousData,
    refetchInterval: live ? EVERY_MS : false,
    enabled,
  });
}

export function useExemplars(params: Params, enabled: boolean, live: boolean) {
  return useQuery({
    queryKey: ["metrics", "exemplars", params],
    queryFn: ({ signal }) => getJson<Exemplar[]>("/api/metrics/exemplars", params, signal),
    placeholderData: keepPreviousData,
    refetchInterval: live ? EVERY_MS : false,
    enabled,
  });
}
