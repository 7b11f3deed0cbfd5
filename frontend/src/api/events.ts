/** The timeline of events and the maintenance windows (docs/api.md, "Events"), and the hooks that ask. */

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";

import { deleteJson, getJson, postJson, type Params } from "./client";
import type { Scalar } from "./types";

export type EventType = "incident" | "deployment" | "alert" | "anomaly";
export type EventSeverity = "info" | "warning" | "critical";

export interface SystemEvent {
  id: string;
  time: string;
  ended_at: string | null;
  type: EventType;
  change: string | null;
  title: string;
  description: string;
  severity: EventSeverity;
  source: string;
  fingerprint: string;
  services: string[];
  traces: string[];
  metrics: string[];
  data: Record<string, Scalar>;
}

export interface MaintenanceWindow {
  id: string;
  start: string;
  end: string;
  services: string[]; // empty: all
  reason: string;
  created_by: string;
  source: "homeostat" | "alertmanager";
  alerts: string[];
}

export interface EventAnswer {
  event: SystemEvent;
  lasting: boolean;
  links: { traces: string; logs: string; metrics: string };
  muted_by: MaintenanceWindow | null;
}

export interface RankedChange {
  event: SystemEvent;
  score: number;
  age_s: number;
  hops: number | null;
  why: string;
}

export interface EventContext {
  event: EventAnswer;
  changes: RankedChange[];
  affected: { service: string; hops: number }[];
  around: SystemEvent[];
  traces: string[];
  maintenance: MaintenanceWindow[];
}

export interface NewMaintenance {
  reason: string;
  who: string;
  minutes: number;
  services: string[];
}

const EVERY_MS = 30_000;

export function useEvents(params: Params, enabled: boolean, live: boolean) {
  return useQuery({
    queryKey: ["events", "list", params],
    queryFn: ({ signal }) => getJson<{ events: EventAnswer[]; more: boolean }>("/api/events", params, signal),
    placeholderData: keepPreviousData,
    refetchInterval: live ? EVERY_MS : false,
    enabled,
  });
}

export function useEventContext(id: string, of: "events" | "incidents") {
  return useQuery({
    queryKey: ["events", "context", of, id],
    queryFn: ({ signal }) => {
      const path = `/api/${of}/${encodeURIComponent(id)}`;
      return getJson<EventContext>(of === "incidents" ? `${path}/context` : path, {}, signal);
    },
    refetchInterval: EVERY_MS,
  });
}

export function useMaintenance(over: boolean) {
  return useQuery({
    queryKey: ["events", "maintenance", over],
    queryFn: ({ signal }) => getJson<MaintenanceWindow[]>("/api/maintenance", { over }, signal),
    refetchInterval: EVERY_MS,
  });
}

/** The windows that last now and in which healing waits; those of single alerts only mute. */
export function healingWaits(windows: readonly MaintenanceWindow[], nowMs: number): MaintenanceWindow[] {
  return windows.filter(
    ({ start, end, alerts }) => alerts.length === 0 && Date.parse(start) <= nowMs && nowMs < Date.parse(end),
  );
}

export type MaintenanceChange = { kind: "begin"; window: NewMaintenance } | { kind: "end"; id: string };

export function useChangeMaintenance() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (change: MaintenanceChange) =>
      change.kind === "begin"
        ? postJson<MaintenanceWindow>("/api/maintenance", change.window)
        : deleteJson<MaintenanceWindow>(`/api/maintenance/${encodeURIComponent(change.id)}`),
    onSettled: () => client.invalidateQueries({ queryKey: ["events"] }),
  });
}
