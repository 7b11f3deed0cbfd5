/** The models of the API, field by field as `homeostat.core.models` and docs/api.md have them. */

export type Scalar = string | number | boolean | null;
export type ServiceStatus = "healthy" | "degraded" | "down" | "unknown";
export type Severity = "critical" | "high" | "medium" | "low";
export type IncidentStatus = "open" | "escalated" | "closed";
export type PolicyMode = "observe" | "suggest" | "approve" | "auto";
export type RunStatus =
  | "awaiting_approval"
  | "intent"
  | "acted"
  | "verified"
  | "not_helped"
  | "undone"
  | "failed"
  | "rejected"
  | "in_doubt";
export type TimelineKind =
  | "fault"
  | "detected"
  | "updated"
  | "changed"
  | "planned"
  | "approval"
  | "acted"
  | "verified"
  | "not_helped"
  | "undone"
  | "escalated"
  | "closed"
  | "recovered";

export interface ServiceHealth {
  service: string;
  status: ServiceStatus;
  request_rate: number | null;
  error_rate: number | null;
  latency_p50_ms: number | null;
  latency_p95_ms: number | null;
  latency_p99_ms: number | null;
  availability: number | null;
  open_issues: number;
  last_seen: string | null;
}

export interface LoopCounts {
  observe: { spans_total: number; spans_per_s: number | null; services: number };
  detect: { issues_total: number; issues_open: number };
  decide: { plans_total: number; awaiting_approval: number };
  act: { runs_total: number; in_progress: number };
  verify: { verified: number; not_helped: number };
  recover: { rearmed: number; escalated: number };
}

export interface StorageState {
  state: string;
  detail: string;
  used_bytes: number | null;
  free_bytes: number | null;
}

export interface Overview {
  health: { status: ServiceStatus; score: number | null; reason: string };
  services: ServiceHealth[];
  loop: LoopCounts;
  storage: StorageState;
  mode: PolicyMode;
  otlp: { http: string | null; grpc: string | null };
  generated_at: string;
}

/** All null: what happened in that step is not known. */
export interface RedSeriesPoint {
  time: string;
  requests: number | null;
  errors: number | null;
  request_rate: number | null;
  error_rate: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export interface RedSeries {
  service: string | null;
  step_s: number; // of the points: may be longer than what was asked for
  points: RedSeriesPoint[];
}

export interface Evidence {
  signal: string;
  observed: number | null;
  threshold: number;
  unit: string;
  sample_size: number;
  window_s: number;
  lower_bound: number | null;
  baseline: number | null;
  operation: string | null;
  example_trace_ids: string[];
  detail: string;
  metrics: Record<string, number>;
}

export interface Issue {
  id: string;
  type: string;
  severity: Severity;
  resource: string;
  fingerprint: string;
  title: string;
  description: string;
  evidence: Evidence;
  status: "open" | "closed";
  first_bad_at: string;
  opened_at: string;
  updated_at: string;
  closed_at: string | null;
  incident_id: string | null;
}

export interface RootCause {
  resource: string;
  confidence: number;
  reason: string;
  evidence: string[];
  self_error_share: number | null;
  self_time_share: number | null;
  example_trace_ids: string[];
}

export interface Incident {
  id: string;
  title: string;
  status: IncidentStatus;
  severity: Severity;
  issue_ids: string[];
  affected_services: string[];
  root_cause: RootCause | null;
  first_bad_at: string;
  opened_at: string;
  updated_at: string;
  closed_at: string | null;
  healed: boolean | null;
}

export interface TimelineEntry {
  id: string;
  time: string;
  kind: TimelineKind;
  title: string;
  detail: string;
  incident_id: string | null;
  resource: string | null;
  data: Record<string, Scalar>;
}

export interface PlanStep {
  action: string;
  resource: string;
  parameters: Record<string, Scalar>;
  why: string;
  confidence: number;
}

export interface Plan {
  id: string;
  incident_id: string;
  created_at: string;
  steps: PlanStep[];
  digest: string;
}

export interface Verdict {
  helped: boolean | null;
  signal: string;
  before: number | null;
  after: number | null;
  unit: string;
  sample_size: number;
  reason: string;
  judged_at: string;
  harmed: string[]; // services that became worse through the act; one with several operations stands there for each
}

export interface Run {
  id: string;
  incident_id: string;
  issue_id: string;
  plan_id: string;
  plan_digest: string;
  step: PlanStep;
  effect: "idempotent" | "probeable" | "opaque";
  status: RunStatus;
  attempt: number;
  triggered_by: string;
  dry_run: boolean;
  created_at: string;
  intent_at: string | null;
  acted_at: string | null;
  finished_at: string | null;
  before: Record<string, Scalar>;
  result: Record<string, Scalar>;
  verdict: Verdict | null;
  error: string | null;
  rearmed_at: string | null;
}

export interface IncidentDetail {
  incident: Incident;
  issues: Issue[];
  runs: Run[];
  plan: Plan | null;
  timeline: TimelineEntry[];
}

export interface ActionSpec {
  name: string;
  title: string;
  driver: string;
  risk: "low" | "medium" | "high";
  undo: string | null; // how it is taken back, in words; null: it can't be
}

export interface Flag {
  flag: string;
  value: boolean;
  armed: boolean; // what a person wants it to be; differs while healing holds it elsewhere
  description: string;
}

export interface FlagChange {
  id: string;
  time: string;
  flag: string;
  previous_value: boolean;
  new_value: boolean;
  reason: string;
  triggered_by: string;
  event: DeploymentEvent | null; // null: recorded before events were kept
  event_sent: boolean;
  event_detail: string;
}

/** A change as Dynatrace's events interface takes it. */
export interface DeploymentEvent {
  eventType: string;
  title: string;
  timeout: number;
  entitySelector: string;
  properties: Record<string, string>;
}

export interface TraceSummary {
  trace_id: string;
  root_service: string;
  root_operation: string;
  start: string;
  duration_ms: number;
  span_count: number;
  error_count: number;
  services: string[];
  sampling_probability: number; // it stands for 1 / this
}

export interface SpanEvent {
  time: string;
  name: string;
  attributes: Record<string, string>;
}

export interface SpanLink {
  trace_id: string;
  span_id: string;
  attributes: Record<string, string>;
}

export interface Span {
  trace_id: string;
  span_id: string;
  parent_span_id: string | null;
  name: string;
  kind: string;
  service: string;
  start: string;
  start_unix_nano: number;
  duration_ms: number;
  status: string;
  status_message: string;
  attributes: Record<string, string>;
  resource: Record<string, string>;
  scope: string;
  events: SpanEvent[];
  links: SpanLink[];
  dropped_attributes: number | null; // null: not known
}

export interface Trace {
  trace_id: string;
  spans: Span[];
  sampling_probability: number;
  sampling_reason: string;
}

export interface LiveRed {
  time: string;
  services: Record<string, { requests: number; errors: number; p50_ms: number | null; p95_ms: number | null }>;
}
