/** What the pages read and change, as TanStack Query hooks. Keys begin with the topic that makes them stale. */

import { keepPreviousData, useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";

import { getJson, postJson } from "./client";
import { takeFirstOverview } from "./first";
import type {
  ActionSpec,
  Flag,
  FlagChange,
  Incident,
  IncidentDetail,
  Overview,
  RedSeries,
  Run,
  TimelineEntry,
} from "./types";

const OVERVIEW_EVERY_MS = 4_000;
const INCIDENTS_MAX = 1_000;
export const OPEN_INCIDENTS_MAX = 50;

export const keys = {
  overview: ["overview"] as const,
  red: (service: string, minutes: number, step: number) => ["red", service, minutes, step] as const,
  incidents: (openOnly: boolean) => ["incidents", "list", openOnly] as const,
  incident: (id: string) => ["incidents", "one", id] as const,
  flags: ["flags"] as const,
};

export function useOverview() {
  return useQuery({
    queryKey: keys.overview,
    queryFn: async ({ signal }) => (await takeFirstOverview()) ?? getJson<Overview>("/api/overview", {}, signal),
    refetchInterval: OVERVIEW_EVERY_MS,
  });
}

export function useRed(service: string, minutes: number, stepS: number) {
  return useQuery({
    queryKey: keys.red(service, minutes, stepS),
    queryFn: ({ signal }) => getJson<RedSeries>("/api/red", { service, minutes, step_s: stepS }, signal),
    refetchInterval: stepS * 1_000,
    placeholderData: keepPreviousData,
  });
}

/** The last two minutes of each service once, so that the sparklines do not start empty. */
export function useRecentRed(services: string[]) {
  return useQueries({
    queries: services.map((service) => ({
      queryKey: ["red-recent", service],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        getJson<RedSeries>("/api/red", { service, minutes: 2, step_s: 2 }, signal),
      staleTime: Infinity,
      gcTime: 60_000,
    })),
  });
}

export function useIncidents(openOnly = false) {
  return useQuery({
    queryKey: keys.incidents(openOnly),
    queryFn: ({ signal }) =>
      getJson<Incident[]>("/api/incidents", { open_only: openOnly, limit: openOnly ? OPEN_INCIDENTS_MAX : INCIDENTS_MAX }, signal),
    refetchInterval: 30_000,
  });
}

export function useIncident(id: string) {
  return useQuery({
    queryKey: keys.incident(id),
    queryFn: ({ signal }) => getJson<IncidentDetail>(`/api/incidents/${encodeURIComponent(id)}`, {}, signal),
    refetchInterval: 15_000,
  });
}

/** What could be done here; it changes only with a restart. */
export function useActions() {
  return useQuery({
    queryKey: ["actions"],
    queryFn: ({ signal }) => getJson<ActionSpec[]>("/api/actions", {}, signal),
    staleTime: Infinity,
  });
}

/** The last hour of the whole system, oldest first. */
export function useTimeline() {
  return useQuery({
    queryKey: ["timeline"],
    queryFn: ({ signal }) => getJson<TimelineEntry[]>("/api/timeline", { minutes: 60, limit: 500 }, signal),
    refetchInterval: 60_000,
  });
}

export function useOperations(service: string) {
  return useQuery({
    queryKey: ["operations", service],
    queryFn: ({ signal }) => getJson<string[]>("/api/operations", { service }, signal),
    enabled: service !== "",
    staleTime: 60_000,
  });
}

export function useFlags() {
  return useQuery({
    queryKey: keys.flags,
    queryFn: ({ signal }) => getJson<Flag[]>("/api/flags", {}, signal),
    refetchInterval: 15_000,
  });
}

export function useFlagChanges() {
  return useQuery({
    queryKey: ["flags", "changes"],
    queryFn: ({ signal }) => getJson<FlagChange[]>("/api/flag-changes", { limit: 5 }, signal),
  });
}

export function useSetFlag() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (change: { flag: string; value: boolean; reason: string; triggeredBy: string }) =>
      postJson("/api/remediation/feature-flag", change),
    onSettled: () => client.invalidateQueries({ queryKey: keys.flags }),
  });
}

export function useToggleAuto() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (enabled: boolean) =>
      postJson<{ auto_remediation_enabled: boolean; message: string }>(
        "/api/self-healing/toggle-auto-remediation",
        { enabled },
      ),
    onSettled: () => client.invalidateQueries({ queryKey: keys.overview }),
  });
}

export type RunDecision =
  | { kind: "approve"; run: Run; who: string }
  | { kind: "reject"; run: Run; who: string; reason: string }
  | { kind: "undo"; run: Run; who: string };

export function useDecideRun() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (decision: RunDecision) => {
      const path = `/api/runs/${encodeURIComponent(decision.run.id)}/${decision.kind}`;
      // The digest binds the approval to the plan that was on the screen.
      if (decision.kind === "approve") {
        return postJson<Run>(path, { who: decision.who, plan_digest: decision.run.plan_digest });
      }
      if (decision.kind === "reject") return postJson<Run>(path, { who: decision.who, reason: decision.reason });
      return postJson<Run>(path, { who: decision.who });
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["incidents"] }),
  });
}
