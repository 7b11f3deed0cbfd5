/** What the page of metrics shows, as it stands in the address, and how values and series are written. */

import type { Params } from "../../api/client";
import type { MetricInfo, MetricSeries } from "../../api/metrics";
import { bytes, compactCount, duration } from "../../lib/format";
import { rangeParams, readRange, type Range } from "../../lib/range";

export const USUAL_MINUTES = "60";
export const LINES_MAX = 12;

export interface View {
  name: string;
  service: string;
  aggregation: string; // "": what fits the metric
  quantile: string;
  groupBy: string; // "": each series for itself; "*": all in one; else label names with commas
  range: Range;
}

export function readView(params: URLSearchParams): View {
  return {
    name: params.get("name") ?? "",
    service: params.get("service") ?? "",
    aggregation: params.get("aggregation") ?? "",
    quantile: params.get("quantile") ?? "0.95",
    groupBy: params.get("group_by") ?? "",
    range: readRange(params, USUAL_MINUTES),
  };
}

export function groupsOf(text: string): string[] | null {
  if (text === "") return null;
  return text === "*" ? [""] : text.split(",").map((one) => one.trim()).filter((one) => one !== "");
}

export function queryParams(view: View): Params {
  return {
    name: view.name,
    service: view.service,
    aggregation: view.aggregation,
    quantile: view.quantile,
    group_by: groupsOf(view.groupBy),
    ...rangeParams(view.range),
  };
}

const HISTOGRAMS = new Set(["histogram", "exponential_histogram"]);

/** The aggregations that make sense for a metric. The first is what "" means. */
export function aggregationsOf(metric: MetricInfo): string[] {
  if (HISTOGRAMS.has(metric.type)) return ["quantile", "avg", "rate", "increase", "count", "sum"];
  if (metric.type === "sum" && metric.monotonic) return ["rate", "increase", "last"];
  return ["last", "avg", "min", "max", "sum", "count"];
}

/** A value with the unit of its metric (UCUM, as OpenTelemetry writes it). */
export function valueText(metric: MetricInfo, aggregation: string): (value: number) => string {
  const used = aggregation === "" ? aggregationsOf(metric)[0] : aggregation;
  const counts = HISTOGRAMS.has(metric.type) && (used === "rate" || used === "increase" || used === "count");
  const plain = (value: number) => (Math.abs(value) >= 1_000 ? compactCount(value) : String(Number(value.toPrecision(3))));
  const unit = counts ? "" : metric.unit.replace(/[{}]/g, "");
  const suffix = used === "rate" ? "/s" : "";
  return (value) => {
    if (used === "count" || unit === "" || unit === "1") return plain(value) + suffix;
    if (unit === "ms" && suffix === "") return duration(value);
    if (unit === "s" && suffix === "") return duration(value * 1_000);
    if (unit === "By") return bytes(value) + suffix;
    return `${plain(value)} ${unit}${suffix}`;
  };
}

/** The names of the series: only what tells them apart. */
export function seriesNames(series: readonly MetricSeries[]): string[] {
  const keys = [...new Set(series.flatMap((one) => Object.keys(one.labels)))].sort();
  const telling = keys.filter((key) => new Set(series.map((one) => one.labels[key] ?? "")).size > 1);
  return series.map((one) => {
    const shown = (telling.length > 0 ? telling : keys).map((key) => `${key}=${one.labels[key] ?? "–"}`);
    return shown.length === 0 ? "all" : shown.join(" ");
  });
}

export function matching(metrics: readonly MetricInfo[], text: string): MetricInfo[] {
  const words = text.toLowerCase().split(/\s+/);
  return metrics.filter((metric) => {
    const all = `${metric.name} ${metric.description} ${metric.services.join(" ")}`.toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

const isOwn = (metric: MetricInfo) => metric.name.startsWith("homeostat");

/** What people measure themselves first; what Homeostat says of itself last. */
export function ownLast(metrics: readonly MetricInfo[]): MetricInfo[] {
  return metrics.toSorted((a, b) => Number(isOwn(a)) - Number(isOwn(b)));
}
