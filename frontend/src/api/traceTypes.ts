/** What can be read out of traces, field by field as `homeostat.core.analysis` and docs/api.md have it. */

import type { TraceSummary } from "./types";

export interface TracePage {
  traces: TraceSummary[];
  next_cursor: string | null;
}

export interface SpanTime {
  span_id: string;
  critical_ms: number;
  shift_ms: number;
}

export interface OperationTime {
  service: string;
  operation: string;
  spans: number;
  errors: number;
  total_ms: number;
  self_ms: number;
  self_share: number;
  critical_ms: number;
}

export interface TraceAnalysis {
  trace_id: string;
  duration_ms: number;
  spans: SpanTime[];
  critical_path: { span_id: string; service: string; operation: string; start_ms: number; duration_ms: number }[];
  operations: OperationTime[];
  notes: string[];
}

export type SpanChange = "same" | "slower" | "faster" | "added" | "missing";

export interface SpanDifference {
  depth: number;
  service: string;
  operation: string;
  change: SpanChange;
  left_span_id: string | null;
  right_span_id: string | null;
  left_ms: number | null;
  right_ms: number | null;
  delta_ms: number | null;
  left_self_ms: number | null;
  right_self_ms: number | null;
  left_error: boolean | null;
  right_error: boolean | null;
}

export interface OperationDifference {
  service: string;
  operation: string;
  left_calls: number;
  right_calls: number;
  left_self_ms: number;
  right_self_ms: number;
  delta_self_ms: number;
}

export interface TraceComparison {
  left_trace_id: string;
  right_trace_id: string;
  left_ms: number;
  right_ms: number;
  delta_ms: number;
  changes: Partial<Record<SpanChange, number>>;
  spans: SpanDifference[];
  operations: OperationDifference[];
  notes: string[];
}

export type Split = "latency" | "errors" | "time";

export interface Group {
  traces: number;
  weight: number;
  mean_ms: number | null;
}

export interface Difference {
  kind: "attribute" | "resource" | "operation" | "error";
  service: string;
  key: string;
  relation: string;
  value: string;
  affected_share: number;
  baseline_share: number;
  affected_traces: number;
  baseline_traces: number;
  separation: number;
  q_value: number;
  significant: boolean;
  example_trace_ids: string[];
}

export interface Differences {
  split: Split;
  threshold_ms: number | null;
  affected: Group;
  baseline: Group;
  differences: Difference[];
  operations: OperationDifference[];
  notes: string[];
}

export interface Bottleneck {
  service: string;
  operation: string;
  self_ms: number;
  self_share: number;
  self_ms_per_trace: number;
  self_p95_ms: number;
  critical_ms: number;
  critical_share: number;
  spans: number;
  traces: number;
  errors: number;
  example_trace_ids: string[];
}

export interface Bottlenecks {
  traces: Group;
  bottlenecks: Bottleneck[];
  notes: string[];
}

export interface Bucket {
  lower_ms: number;
  upper_ms: number | null; // null: and all that is longer
}

/** All null: what happened in that step is not known. */
export interface LatencyPoint {
  time: string;
  requests: number | null;
  errors: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  counts: number[] | null;
}

export interface Latency {
  service: string;
  operation: string | null;
  step_s: number;
  buckets: Bucket[];
  points: LatencyPoint[];
}

export interface RequestFigures {
  service: string;
  operation: string | null;
  requests: number;
  errors: number;
  error_rate: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export interface Dependency {
  caller: string;
  callee: string;
  requests: number;
  errors: number;
  error_rate: number | null;
  mean_ms: number | null;
}

export interface Dependencies {
  start: string;
  end: string;
  known_s: number | null; // for how many seconds of it somebody was counting
  services: RequestFigures[];
  dependencies: Dependency[];
}

export interface SpanLog {
  relation: "span" | "trace" | "service";
  record: { id: string; time: string; severity: string; service: string; body: string };
}

export interface SpanLogs {
  entries: SpanLog[];
  notes: string[];
}
