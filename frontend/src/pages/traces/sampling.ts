/** Sampling in words. */

import { compactCount } from "../../lib/format";

function times(probability: number): string {
  const stands = 1 / probability;
  return stands < 10 && Math.abs(stands - Math.round(stands)) > 0.05 ? stands.toFixed(1) : compactCount(stands);
}

/** 0.1 -> "kept 1 of 10". */
export function keptOf(probability: number): string {
  return `kept 1 of ${times(probability)}`;
}

/** What a trace stands for, and why it was kept. */
export function samplingSentence(probability: number, reason: string): string {
  const why = reason === "" ? "" : ` by the policy ${reason}`;
  if (probability >= 1) return reason === "" ? "" : `Kept${why}; it stands for itself.`;
  return `${keptOf(probability).replace(/^k/, "K")}${why}; it stands for ~${times(probability)} traces.`;
}

/** A group of traces: how many were looked at, and how many they stand for. */
export function groupSentence(traces: number, weight: number): string {
  const count = `${compactCount(traces)} ${traces === 1 ? "trace" : "traces"}`;
  return weight > traces * 1.005 ? `${count}, standing for ~${compactCount(weight)}` : count;
}
