/** An objective while a person writes it: texts, as they stand in the fields, and back to a definition. */

import type { Comparison, Selector, Sli, SliKind, SloDefinition } from "../../api/slos";

export interface DraftSelector {
  metric: string;
  service: string;
  labels: string; // key=value, key=value
}

export interface Draft {
  name: string;
  service: string;
  description: string;
  target: string; // percent
  days: string;
  kind: SliKind;
  operation: string;
  thresholdMs: string;
  counted: "good" | "bad"; // which of the two a ratio names
  part: DraftSelector;
  total: DraftSelector;
  metric: DraftSelector;
  comparison: Comparison;
  threshold: string;
}

const NO_SELECTOR: DraftSelector = { metric: "", service: "", labels: "" };

export const NEW_DRAFT: Draft = {
  name: "",
  service: "",
  description: "",
  target: "99.9",
  days: "30",
  kind: "availability",
  operation: "",
  thresholdMs: "300",
  counted: "good",
  part: NO_SELECTOR,
  total: NO_SELECTOR,
  metric: NO_SELECTOR,
  comparison: "lte",
  threshold: "",
};

function draftSelector(selector: Selector | null | undefined): DraftSelector {
  if (selector === null || selector === undefined) return NO_SELECTOR;
  const labels = Object.entries(selector.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return { metric: selector.metric, service: selector.service ?? "", labels: labels.join(", ") };
}

export function draftOf({ sli, ...definition }: SloDefinition): Draft {
  return {
    name: definition.name,
    service: definition.service,
    description: definition.description,
    target: String(definition.target_percentage),
    days: String(definition.window_days),
    kind: sli.kind,
    operation: sli.operation ?? "",
    thresholdMs: String(sli.threshold_ms ?? NEW_DRAFT.thresholdMs),
    counted: sli.bad !== null && sli.bad !== undefined ? "bad" : "good",
    part: draftSelector(sli.bad ?? sli.good),
    total: draftSelector(sli.total),
    metric: draftSelector(sli.metric),
    comparison: sli.comparison ?? NEW_DRAFT.comparison,
    threshold: sli.threshold === null || sli.threshold === undefined ? "" : String(sli.threshold),
  };
}

/** What a person wrote that can't be meant; its message is for them. */
export class DraftProblem extends Error {}

function number(text: string, what: string): number {
  const value = Number(text.replace(",", "."));
  if (text.trim() === "" || !Number.isFinite(value)) throw new DraftProblem(`${what} is a number.`);
  return value;
}

function selector(draft: DraftSelector, what: string): Selector {
  if (draft.metric.trim() === "") throw new DraftProblem(`Name the metric of ${what}.`);
  const labels: Record<string, string> = {};
  for (const pair of draft.labels.split(",").map((one) => one.trim())) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    if (at < 1) throw new DraftProblem(`Write the labels of ${what} as key=value, with commas between them.`);
    labels[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return { metric: draft.metric.trim(), service: draft.service.trim() === "" ? null : draft.service.trim(), labels };
}

/** `before`: what the fields don't show is taken over from it. */
function sliOf(draft: Draft, before: Sli | undefined): Sli {
  const service = before?.kind === draft.kind ? (before.service ?? null) : null;
  const operation = draft.operation.trim() === "" ? null : draft.operation.trim();
  switch (draft.kind) {
    case "availability":
      return { kind: draft.kind, service, operation };
    case "latency":
      return { kind: draft.kind, service, operation, threshold_ms: number(draft.thresholdMs, "The longest duration") };
    case "metric_ratio":
      return {
        kind: draft.kind,
        [draft.counted]: selector(draft.part, `the ${draft.counted} events`),
        total: selector(draft.total, "all events"),
      };
    case "metric_threshold":
      return {
        kind: draft.kind,
        metric: selector(draft.metric, "the objective"),
        comparison: draft.comparison,
        threshold: number(draft.threshold, "The threshold"),
      };
    case "healing":
      return { kind: draft.kind };
  }
}

/** Raises DraftProblem. */
export function definitionFrom(draft: Draft, before?: SloDefinition): SloDefinition {
  const target = number(draft.target, "The objective");
  if (!(target > 0 && target < 100)) {
    throw new DraftProblem("The objective lies between 0 and 100 percent; 100 would leave no budget at all.");
  }
  const days = number(draft.days, "The window");
  if (!(days > 0 && days <= 90)) throw new DraftProblem("The window is at most 90 days.");
  return {
    ...before,
    name: draft.name.trim(),
    service: draft.service.trim(),
    description: draft.description.trim(),
    target_percentage: target,
    window_days: days,
    sli: sliOf(draft, before?.sli),
  };
}

/** The budget in words: how long all may be down, at even traffic. */
export function allowance(draft: Draft): string | null {
  const target = Number(draft.target.replace(",", "."));
  const days = Number(draft.days.replace(",", "."));
  if (!(target > 0 && target < 100 && days > 0)) return null;
  const minutes = (1 - target / 100) * days * 24 * 60;
  const time = minutes >= 120 ? `${(minutes / 60).toFixed(1)} h` : minutes >= 2 ? `${minutes.toFixed(1)} min` : `${(minutes * 60).toFixed(1)} s`;
  return `The budget is ${Number((100 - target).toPrecision(4))} % of the events: at even traffic, ${time} of a complete outage.`;
}
