/** How an objective's figures are said. */

import type { SloAlert, SloAnswer, SloState } from "../../api/slos";
import { duration } from "../../lib/format";
import type { Mark } from "../../lib/status";

export const sloMarks: Record<SloState, Mark> = {
  healthy: { tone: "ok", icon: "check", word: "Healthy" },
  warning: { tone: "warn", icon: "warning", word: "Warning" },
  critical: { tone: "bad", icon: "alert", word: "Critical" },
  breached: { tone: "bad", icon: "cross", word: "Breached" },
  unknown: { tone: "unknown", icon: "question", word: "Unknown: no data" },
};

const WORST_FIRST: readonly SloState[] = ["breached", "critical", "warning", "healthy", "unknown"];

/** What needs a person stands first; then by budget left, then by name. */
export function worstFirst(slos: readonly SloAnswer[]): SloAnswer[] {
  return slos.toSorted(
    (a, b) =>
      WORST_FIRST.indexOf(a.state) - WORST_FIRST.indexOf(b.state) ||
      (a.budget.remaining ?? 1) - (b.budget.remaining ?? 1) ||
      a.name.localeCompare(b.name),
  );
}

export function matches(slo: SloAnswer, state: string, text: string): boolean {
  if (state === "trouble" && (slo.state === "healthy" || slo.state === "unknown")) return false;
  if (state !== "" && state !== "trouble" && slo.state !== state) return false;
  const all = `${slo.name} ${slo.service} ${slo.indicator_text}`.toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

/** "99.95 %": as many digits as make a difference next to such a target, and never rounded up to 100. */
export function percentage(value: number): string {
  if (value === 100 || value === 0) return `${value} %`;
  const text = (Math.floor(value * 1_000) / 1_000).toFixed(3).replace(/0+$/, "").replace(/\.$/, "");
  return `${text} %`;
}

/** A share of the budget: "34 %", "0.4 %", "-120 %". Never rounded to untouched, nor to spent. */
export function budgetShare(share: number): string {
  const value = share * 100;
  if (value === 100 || value === 0) return `${value} %`;
  const size = Math.abs(value);
  const digits = size < 1 ? 2 : size < 10 || (value > 99 && value < 100) ? 1 : 0;
  const unit = 10 ** digits;
  const cut = (value > 0 ? Math.floor(value * unit) : Math.ceil(value * unit)) / unit;
  return cut === 0 ? (value > 0 ? "< 0.01 %" : "> −0.01 %") : `${String(cut).replace("-", "−")} %`;
}

/** A burn rate: "14.4×". */
export function burn(rate: number): string {
  if (rate === 0) return "0×";
  if (rate < 0.01) return "< 0.01×";
  return `${rate < 10 ? rate.toFixed(2).replace(/\.?0+$/, "") : rate < 100 ? rate.toFixed(1).replace(/\.0$/, "") : Math.round(rate)}×`;
}

export function span(seconds: number): string {
  return duration(seconds * 1_000);
}

export type BudgetTone = "ok" | "warn" | "bad" | "unknown";

export function budgetTone(slo: SloAnswer): BudgetTone {
  const left = slo.budget.remaining;
  if (left === null) return "unknown";
  if (left <= 0) return "bad";
  return left < 0.25 ? "warn" : "ok";
}

export const alertMark = (alert: SloAlert): Mark => {
  if (alert.firing === null) return { tone: "unknown", icon: "question", word: "No data" };
  if (!alert.firing) return { tone: "ok", icon: "check", word: "Quiet" };
  return { tone: alert.severity === "critical" ? "bad" : "warn", icon: "alert", word: "Firing" };
};

export function condition(alert: SloAlert): string {
  const hold = alert.hold_s > 0 ? `, for ${span(alert.hold_s)}` : "";
  return `faster than ${burn(alert.factor)} over ${span(alert.long_window_s)} and over ${span(alert.short_window_s)}${hold}`;
}

/** Who is told: the standard table's two kinds, else the rule's own word. */
export const told = (alert: SloAlert): string =>
  alert.severity === "critical" ? "page" : alert.severity === "medium" ? "ticket" : alert.severity;

export const sourceWords: Record<SloAnswer["source"], string> = {
  default: "built in",
  file: "from an OpenSLO file",
  api: "made here or over the API",
};
