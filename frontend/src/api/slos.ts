/** Objectives: what the API says of them (docs/api.md, "Service level objectives"), and the hooks that ask. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { deleteJson, getJson, postJson, postText, putJson, withParams } from "./client";
import type { Severity } from "./types";

export type SloState = "healthy" | "warning" | "critical" | "breached" | "unknown";
export type SliKind = "availability" | "latency" | "metric_ratio" | "metric_threshold" | "healing";
export type Comparison = "lt" | "lte" | "gt" | "gte";

export interface SloBudget {
  remaining: number | null; // share: 1 untouched, 0 spent, negative overspent
  allowed: number | null; // events
  spent: number | null;
  left: number | null;
}

export interface BurnRate {
  window_s: number;
  rate: number | null; // 1 spends exactly all of the budget within the window
  good: number;
  total: number;
}

export interface SloAlert {
  name: string;
  severity: Severity;
  factor: number;
  long_window_s: number;
  short_window_s: number;
  hold_s: number;
  long_rate: number | null;
  short_rate: number | null;
  firing: boolean | null; // null: there is no data to say so
  since: string | null;
}

export interface SloAnswer {
  id: string;
  name: string;
  service: string;
  description: string;
  labels: Record<string, string>;
  source: "default" | "file" | "api";
  indicator: SliKind;
  indicator_text: string;
  target_percentage: number;
  window_s: number;
  window_days: number;
  time: string | null;
  state: SloState;
  current_percentage: number | null;
  good: number | null;
  bad: number | null;
  total: number | null;
  budget: SloBudget;
  burn_rates: BurnRate[];
  alerts: SloAlert[];
  forecast: { exhausted_in_s: number | null; text: string; rate_window_s: number | null };
  covered_s: number | null;
  problem: string;
}

export interface Selector {
  metric: string;
  service?: string | null;
  labels?: Record<string, string>;
}

export interface Sli {
  kind: SliKind;
  service?: string | null;
  operation?: string | null;
  threshold_ms?: number | null;
  good?: Selector | null;
  bad?: Selector | null;
  total?: Selector | null;
  metric?: Selector | null;
  comparison?: Comparison | null;
  threshold?: number | null;
}

export interface BurnRule {
  severity: Severity;
  long_window_s: number;
  short_window_s: number;
  factor: number;
  hold_s: number;
  name: string;
}

/** The definition as it is kept. */
export interface Slo {
  id: string;
  sli: Sli;
  slice_target: number | null;
  slice_s: number;
  rules: BurnRule[];
  labels: Record<string, string>;
}

export interface SloPoint {
  time: string;
  good: number | null;
  total: number | null;
  burn_rate: number | null;
  budget_remaining: number | null;
}

export interface SloDetail {
  slo: SloAnswer;
  definition: Slo;
  history: { step_s: number; points: SloPoint[] };
  openslo: string;
}

/** An objective as a person makes it. */
export interface SloDefinition {
  name: string;
  service: string;
  description: string;
  target_percentage: number;
  window_days: number;
  sli: Sli;
  slice_target?: number | null;
  slice_s?: number;
  rules?: BurnRule[];
  labels?: Record<string, string>;
}

export interface SloImport {
  slos: SloAnswer[];
  created: string[];
  updated: string[];
  notes: string[];
}

const EVERY_MS = 15_000;
const ONE_EVERY_MS = 60_000;

const one = (id: string) => `/api/slos/${encodeURIComponent(id)}`;

export function useSlos() {
  return useQuery({
    queryKey: ["slos", "list"],
    queryFn: ({ signal }) => getJson<SloAnswer[]>("/api/slos", {}, signal),
    refetchInterval: EVERY_MS,
  });
}

export function useSlo(id: string, enabled = true) {
  return useQuery({
    queryKey: ["slos", "one", id],
    queryFn: ({ signal }) => getJson<SloDetail>(one(id), {}, signal),
    refetchInterval: ONE_EVERY_MS,
    enabled,
  });
}

/** The history in another step than the usual one; null: the usual one will do. */
export function useSloHistory(id: string, stepS: number | null) {
  return useQuery({
    queryKey: ["slos", "history", id, stepS],
    queryFn: ({ signal }) => getJson<SloDetail>(one(id), { step_s: stepS }, signal),
    refetchInterval: ONE_EVERY_MS,
    enabled: stepS !== null,
  }).data?.history;
}

/** What a person can do to an objective. `save` with an id changes it, or makes it again after it was deleted. */
export type SloChange =
  | { kind: "save"; id: string | null; definition: SloDefinition }
  | { kind: "delete"; id: string };

export function useChangeSlo() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (change: SloChange): Promise<string> => {
      if (change.kind === "delete") return (await deleteJson<{ deleted: string }>(one(change.id))).deleted;
      if (change.id === null) return (await postJson<SloAnswer>("/api/slos", change.definition)).id;
      return (await putJson<SloAnswer>(one(change.id), change.definition)).id;
    },
    onSuccess: (id, change) => {
      if (change.kind === "delete") client.removeQueries({ queryKey: ["slos", "one", id] });
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["slos"] }),
  });
}

export function useImportSlos() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ text, dryRun }: { text: string; dryRun: boolean }) =>
      postText<SloImport>(withParams("/api/slos/import", { dry_run: dryRun }), text, "application/yaml"),
    onSettled: () => client.invalidateQueries({ queryKey: ["slos"] }),
  });
}

/** The definition that makes this objective again, word for word. */
export function definitionOf({ slo, definition }: Pick<SloDetail, "slo" | "definition">): SloDefinition {
  return {
    name: slo.name,
    service: slo.service,
    description: slo.description,
    target_percentage: slo.target_percentage,
    window_days: slo.window_days,
    sli: definition.sli,
    slice_target: definition.slice_target,
    slice_s: definition.slice_s,
    rules: definition.rules,
    labels: definition.labels,
  };
}
