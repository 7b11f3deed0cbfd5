/** Rate, errors and duration of everything or of one service, live. */

import { useMemo, useState } from "react";
import { useSearchParams } from "react-router";

import { useRed } from "../../api/queries";
import type { RedSeriesPoint } from "../../api/types";
import { ChartPanel } from "../../charts/ChartPanel";
import type { ChartData } from "../../charts/series";
import { duration, percent, rate } from "../../lib/format";
import { extendSeries } from "../../live/red";
import { useLiveSeconds } from "../../live/store";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Segments";
import { Failed, Skeleton } from "../../ui/States";

const WINDOWS = [
  { value: "5", text: "5 min", step: 2 },
  { value: "15", text: "15 min", step: 5 },
  { value: "60", text: "1 h", step: 20 },
] as const;

function charts(points: readonly RedSeriesPoint[]): Record<"rate" | "errors" | "duration", ChartData> {
  const times = points.map((point) => Date.parse(point.time) / 1_000);
  return {
    rate: {
      times,
      format: (value) => `${rate(value).replace(/\.0$/, "")}/s`,
      series: [
        { label: "Requests", color: "--series-1", fill: true, values: points.map((point) => point.request_rate) },
      ],
    },
    errors: {
      times,
      format: percent,
      series: [{ label: "Errors", color: "--series-bad", fill: true, values: points.map((point) => point.error_rate) }],
    },
    duration: {
      times,
      format: duration,
      series: [
        { label: "p50", color: "--series-2", values: points.map((point) => point.p50_ms) },
        { label: "p95", color: "--series-1", dash: [7, 3], values: points.map((point) => point.p95_ms) },
        { label: "p99", color: "--series-3", dash: [2, 3], values: points.map((point) => point.p99_ms) },
      ],
    },
  };
}

export function RedPanel({ services }: { services: string[] }) {
  const [params, setParams] = useSearchParams();
  const [asTable, setAsTable] = useState(false);
  const service = params.get("service") ?? "";
  const window = WINDOWS.find((option) => option.value === params.get("window")) ?? WINDOWS[1];
  const red = useRed(service, Number(window.value), window.step);
  const live = useLiveSeconds(service);

  const series = red.data;
  // While another service is being fetched the old numbers stay, pale, and nothing of the new one is mixed in.
  const stale = series !== undefined && (series.service ?? "") !== service;
  const data = useMemo(
    () =>
      series === undefined ? null : charts(extendSeries(series.points, series.step_s, stale ? [] : live)),
    [series, live, stale],
  );
  const set = (key: string, value: string, usual: string) =>
    setParams(
      (old) => {
        const next = new URLSearchParams(old);
        if (value === usual) next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true },
    );

  const controls = (
    <div className="controls">
      <label className="inline-field">
        <span className="sr-only">Service</span>
        <select value={service} onChange={(event) => set("service", event.target.value, "")}>
          <option value="">All services</option>
          {(service !== "" && !services.includes(service) ? [service, ...services] : services).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <Segments label="Window" options={WINDOWS} value={window.value} onChange={(value) => set("window", value, "15")} />
      <Button look="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
        <Icon name={asTable ? "chart" : "table"} size={14} /> {asTable ? "Show as chart" : "Show as table"}
      </Button>
    </div>
  );
  return (
    <Card title="Traffic" aside={controls}>
      <div className="red" aria-busy={stale}>
        {data === null && red.isPending && <Skeleton height={211} label="Loading the charts" />}
        {data === null && red.isError && <Failed error={red.error} retry={() => void red.refetch()} />}
        {data !== null && (
          <>
            <ChartPanel title="Rate" data={data.rate} asTable={asTable} syncKey="red" />
            <ChartPanel title="Errors" data={data.errors} asTable={asTable} syncKey="red" />
            <ChartPanel title="Duration" data={data.duration} asTable={asTable} syncKey="red" />
          </>
        )}
      </div>
    </Card>
  );
}
