import type { ReactNode } from "react";

import { useOperations, useOverview } from "../../api/queries";
import type { Comparison, SliKind } from "../../api/slos";
import { allowance, type Draft, type DraftSelector } from "./draft";

const KINDS: readonly { value: SliKind; text: string; means: string }[] = [
  { value: "availability", text: "Requests without error", means: "Good are the requests that are answered without an error." },
  { value: "latency", text: "Fast requests", means: "Good are the requests that take no longer than the limit." },
  { value: "metric_ratio", text: "Ratio of two metrics", means: "Good (or bad) events and all events, each the increase of a counter." },
  { value: "metric_threshold", text: "Metric within a limit", means: "Good are the minutes in which the mean of a metric holds the limit." },
  { value: "healing", text: "Remediations that helped", means: "Good are the remediations that were verified to have helped." },
];

const COMPARISONS: readonly { value: Comparison; text: string }[] = [
  { value: "lte", text: "at most" },
  { value: "lt", text: "below" },
  { value: "gte", text: "at least" },
  { value: "gt", text: "above" },
];

type Setter = (change: Partial<Draft>) => void;

function Field({ label, hint, wide = false, children }: { label: string; hint?: string; wide?: boolean; children: ReactNode }) {
  return (
    <label className={wide ? "field wide" : "field"}>
      <span>{label}</span>
      {children}
      {hint !== undefined && <small className="form__hint">{hint}</small>}
    </label>
  );
}

function SelectorFields({ legend, value, onChange }: { legend: string; value: DraftSelector; onChange: (value: DraftSelector) => void }) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      <Field label="Metric">
        <input required list="slo-metrics" value={value.metric} onChange={(event) => onChange({ ...value, metric: event.target.value })} />
      </Field>
      <Field label="Of the service">
        <input list="slo-services" placeholder="any" value={value.service} onChange={(event) => onChange({ ...value, service: event.target.value })} />
      </Field>
      <Field label="With the labels">
        <input placeholder="key=value, key=value" spellCheck={false} value={value.labels} onChange={(event) => onChange({ ...value, labels: event.target.value })} />
      </Field>
    </fieldset>
  );
}

function Requests({ draft, set }: { draft: Draft; set: Setter }) {
  const operations = useOperations(draft.service);
  return (
    <>
      <Field label="Operation" hint="Without one: all of the service's.">
        <input list="slo-operations" placeholder="any" value={draft.operation} onChange={(event) => set({ operation: event.target.value })} />
      </Field>
      <datalist id="slo-operations">{operations.data?.map((name) => <option key={name} value={name} />)}</datalist>
      {draft.kind === "latency" && (
        <Field label="No longer than, ms">
          <input required inputMode="decimal" value={draft.thresholdMs} onChange={(event) => set({ thresholdMs: event.target.value })} />
        </Field>
      )}
    </>
  );
}

function Ratio({ draft, set }: { draft: Draft; set: Setter }) {
  return (
    <>
      <Field label="The first metric counts">
        <select value={draft.counted} onChange={(event) => set({ counted: event.target.value === "bad" ? "bad" : "good" })}>
          <option value="good">good events</option>
          <option value="bad">bad events</option>
        </select>
      </Field>
      <SelectorFields legend={draft.counted === "bad" ? "Bad events" : "Good events"} value={draft.part} onChange={(part) => set({ part })} />
      <SelectorFields legend="All events" value={draft.total} onChange={(total) => set({ total })} />
    </>
  );
}

function Limit({ draft, set }: { draft: Draft; set: Setter }) {
  return (
    <>
      <SelectorFields legend="Metric" value={draft.metric} onChange={(metric) => set({ metric })} />
      <Field label="Its mean over a minute is">
        <select value={draft.comparison} onChange={(event) => set({ comparison: event.target.value as Comparison })}>
          {COMPARISONS.map((one) => (
            <option key={one.value} value={one.value}>
              {one.text}
            </option>
          ))}
        </select>
      </Field>
      <Field label="Threshold">
        <input required inputMode="decimal" value={draft.threshold} onChange={(event) => set({ threshold: event.target.value })} />
      </Field>
    </>
  );
}

/** The fields of an objective. The form around them belongs to the page. */
export function SloForm({ draft, set, metrics }: { draft: Draft; set: Setter; metrics: readonly string[] }) {
  const overview = useOverview();
  const kind = KINDS.find((one) => one.value === draft.kind);
  const budget = allowance(draft);
  return (
    <>
      <Field label="Name">
        <input required maxLength={200} value={draft.name} onChange={(event) => set({ name: event.target.value })} />
      </Field>
      <Field label="Service">
        <input required maxLength={200} list="slo-services" value={draft.service} onChange={(event) => set({ service: event.target.value })} />
      </Field>
      <datalist id="slo-services">{overview.data?.services.map((one) => <option key={one.service} value={one.service} />)}</datalist>
      <datalist id="slo-metrics">{metrics.map((name) => <option key={name} value={name} />)}</datalist>
      <Field label="What for (optional)" wide>
        <input maxLength={1050} value={draft.description} onChange={(event) => set({ description: event.target.value })} />
      </Field>
      <Field label="Objective, %">
        <input required inputMode="decimal" value={draft.target} onChange={(event) => set({ target: event.target.value })} />
      </Field>
      <Field label="Over so many days">
        <input required inputMode="decimal" value={draft.days} onChange={(event) => set({ days: event.target.value })} />
      </Field>
      <p className="form__hint wide">{budget ?? "Give the objective and the window, and the budget is told here."}</p>
      <Field label="What is counted" wide {...(kind === undefined ? {} : { hint: kind.means })}>
        <select value={draft.kind} onChange={(event) => set({ kind: event.target.value as SliKind })}>
          {KINDS.map((one) => (
            <option key={one.value} value={one.value}>
              {one.text}
            </option>
          ))}
        </select>
      </Field>
      {(draft.kind === "availability" || draft.kind === "latency") && <Requests draft={draft} set={set} />}
      {draft.kind === "metric_ratio" && <Ratio draft={draft} set={set} />}
      {draft.kind === "metric_threshold" && <Limit draft={draft} set={set} />}
    </>
  );
}
