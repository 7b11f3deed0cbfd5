import { useMemo } from "react";

import { useSloHistory, type SloAnswer, type SloDetail, type SloPoint } from "../../api/slos";
import { ChartPanel } from "../../charts/ChartPanel";
import type { ChartData, Series } from "../../charts/series";
import { Empty } from "../../ui/States";
import { budgetShare, burn, span } from "./words";

const THRESHOLD_LOOKS: readonly Pick<Series, "color" | "dash">[] = [
  { color: "--series-bad", dash: [6, 4] },
  { color: "--span-3", dash: [2, 4] },
  { color: "--series-3", dash: [10, 3] },
  { color: "--text-2", dash: [1, 3] },
];

/** Only the part of the window in which somebody was counting, and one step before it. */
function known(points: readonly SloPoint[]): readonly SloPoint[] {
  const first = points.findIndex((point) => point.total !== null);
  return first < 0 ? [] : points.slice(Math.max(0, first - 1));
}

const STEPS_MAX = 1_900;
const PARTS = 60;

/** A finer step, when so little of the window was counted that the usual one shows hardly a point; else null. */
function finerStep(slo: SloAnswer, usualS: number): number | null {
  if (slo.covered_s === null || slo.covered_s > usualS * PARTS) return null;
  const finest = Math.ceil(slo.window_s / STEPS_MAX / 60) * 60;
  const step = Math.max(finest, Math.ceil(slo.covered_s / PARTS / 60) * 60);
  return step < usualS ? step : null;
}

function budgetChart(points: readonly SloPoint[], times: number[]): ChartData {
  return {
    times,
    format: budgetShare,
    series: [
      { label: "Budget left", color: "--series-2", fill: true, values: points.map((point) => point.budget_remaining) },
    ],
  };
}

function burnChart(detail: SloDetail, points: readonly SloPoint[], times: number[]): ChartData {
  const values = points.map((point) => point.burn_rate);
  const factors = [...new Set(detail.slo.alerts.map((alert) => alert.factor))].sort((a, b) => b - a);
  // A threshold far above everything measured would press the curve to the ground.
  const top = Math.max(0, ...values.map((value) => value ?? 0));
  const near = factors.filter((factor, index) => factor <= top * 2 || index === factors.length - 1);
  return {
    times,
    format: burn,
    series: [
      { label: "Burn rate", color: "--series-1", fill: true, values },
      ...near.slice(0, THRESHOLD_LOOKS.length).map((factor, index) => ({
        label: `alert at ${burn(factor)}`,
        ...(THRESHOLD_LOOKS[index] ?? { color: "--text-2" }),
        values: times.map(() => factor),
      })),
    ],
  };
}

/** The budget over the window, and how fast it burned, with the factors at which alerts fire. */
export function SloCharts({ detail, asTable }: { detail: SloDetail; asTable: boolean }) {
  const finer = useSloHistory(detail.slo.id, finerStep(detail.slo, detail.history.step_s));
  const history = finer ?? detail.history;
  const charts = useMemo(() => {
    const points = known(history.points);
    const times = points.map((point) => Date.parse(point.time) / 1_000);
    return { budget: budgetChart(points, times), rate: burnChart(detail, points, times), any: points.length > 0 };
  }, [detail, history]);
  if (!charts.any) {
    return (
      <Empty icon="question" title="Nothing was counted in this window">
        <p>As soon as {detail.slo.indicator_text} are seen, the budget is drawn here.</p>
      </Empty>
    );
  }
  return (
    <>
      <div className="slo-charts">
        <ChartPanel title="Budget left" data={charts.budget} asTable={asTable} syncKey="slo" height={200} />
        <ChartPanel title={`Burn rate over each ${span(history.step_s)}`} data={charts.rate} asTable={asTable} syncKey="slo" height={200} />
      </div>
      <p className="quiet">The time before anything was counted is not drawn. Alerts look at the burn rate over their own windows, below.</p>
    </>
  );
}
