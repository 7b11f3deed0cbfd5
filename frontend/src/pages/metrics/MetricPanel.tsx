import { useMemo, useState } from "react";
import { Link } from "react-router";

import { useExemplars, useMetric, type Exemplar, type MetricInfo } from "../../api/metrics";
import { ChartPanel } from "../../charts/ChartPanel";
import type { ChartData } from "../../charts/series";
import { dayAndTime } from "../../lib/format";
import { rangeParams, rangeProblem } from "../../lib/range";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { RangeFields } from "../../ui/RangeFields";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Value } from "../../ui/Value";
import { aggregationsOf, LINES_MAX, queryParams, seriesNames, valueText, type View } from "./view";

const DASHES = [undefined, [7, 3], [2, 3], [10, 3, 2, 3]] as const;
const EXEMPLARS = 100;
const QUANTILES = ["0.5", "0.9", "0.95", "0.99"];

type Setter = (change: Partial<View>) => void;

function Controls({ metric, view, labels, set }: { metric: MetricInfo; view: View; labels: readonly string[]; set: Setter }) {
  const usual = aggregationsOf(metric)[0] ?? "last";
  const used = view.aggregation === "" ? usual : view.aggregation;
  return (
    <div className="metric-controls">
      <label className="field">
        <span>Aggregation</span>
        <select value={used} onChange={(event) => set({ aggregation: event.target.value === usual ? "" : event.target.value })}>
          {aggregationsOf(metric).map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      {used === "quantile" && (
        <label className="field">
          <span>Quantile</span>
          <select value={view.quantile} onChange={(event) => set({ quantile: event.target.value })}>
            {[...new Set([...QUANTILES, view.quantile])].map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      )}
      <label className="field">
        <span>Group by</span>
        <select value={view.groupBy} onChange={(event) => set({ groupBy: event.target.value })}>
          <option value="">each series for itself</option>
          <option value="*">all in one</option>
          {[...new Set([...labels, ...(view.groupBy === "" || view.groupBy === "*" ? [] : [view.groupBy])])].map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>Service</span>
        <select value={view.service} onChange={(event) => set({ service: event.target.value })}>
          <option value="">Any</option>
          {[...new Set([...metric.services, ...(view.service === "" ? [] : [view.service])])].map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <RangeFields range={view.range} onChange={(range) => set({ range })} />
    </div>
  );
}

const traceOf = (exemplar: Exemplar) => `/traces/${exemplar.trace_id}?span=${exemplar.span_id}`;

function Exemplars({ exemplars, format }: { exemplars: readonly Exemplar[]; format: (value: number) => string }) {
  if (exemplars.length === 0) return null;
  return (
    <Card title="Exemplars: single measurements with their traces" flush>
      {/* A scrolling region has to be reachable by keyboard. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="metric-exemplars" tabIndex={0} role="region" aria-label="Exemplars">
        <table className="table table--dense">
          <thead>
            <tr>
              <th scope="col">Time</th>
              <th scope="col" className="num">Value</th>
              <th scope="col">Trace</th>
            </tr>
          </thead>
          <tbody>
            {exemplars.map((one) => (
              <tr key={one.trace_id + one.span_id + one.time}>
                <th scope="row">{dayAndTime(new Date(one.time))}</th>
                <td className="num">
                  <Value of={one.value} as={format} />
                </td>
                <td>
                  <Link to={traceOf(one)}>
                    <code>{one.trace_id.slice(0, 12)}…</code>
                  </Link>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

/** One metric over time: its series, and its exemplars as dots that lead to their traces. */
export function MetricPanel({ metric, view, set }: { metric: MetricInfo; view: View; set: Setter }) {
  const [asTable, setAsTable] = useState(false);
  const askable = rangeProblem(view.range) === null;
  const live = view.range.minutes !== "";
  const query = useMetric(queryParams(view), askable, live);
  // Asked for every series, so that the labels to group by are known whatever is grouped now.
  const all = useMetric(queryParams({ ...view, groupBy: "", aggregation: "" }), askable, live);
  const exemplars = useExemplars({ name: metric.name, service: view.service, limit: EXEMPLARS, ...rangeParams(view.range) }, askable, live);
  const format = useMemo(() => valueText(metric, view.aggregation), [metric, view.aggregation]);
  const measure = useMemo(() => valueText(metric, "last"), [metric]);
  const used = view.aggregation === "" ? aggregationsOf(metric)[0] : view.aggregation;
  const sameScale = used !== "rate" && used !== "increase" && used !== "count";
  const labels = [...new Set(all.data?.series.flatMap((one) => Object.keys(one.labels)) ?? [])].sort();

  const answer = query.data;
  const found = exemplars.data;
  const data = useMemo<ChartData | null>(() => {
    const first = answer?.series[0];
    if (answer === undefined || first === undefined) return null;
    const names = seriesNames(answer.series);
    return {
      times: first.values.map((_, index) => first.start_s + index * first.step_s),
      format,
      series: answer.series.slice(0, LINES_MAX).map((one, index) => {
        const dash = DASHES[index % DASHES.length];
        return { label: names[index] ?? "", color: `--span-${index % LINES_MAX}`, values: one.values, ...(dash === undefined ? {} : { dash: [...dash] }) };
      }),
      marksLabel: "exemplars: each leads to its trace",
      marks: !sameScale
        ? []
        : (found ?? []).flatMap((one) =>
            one.value === null
              ? []
              : [{ key: one.trace_id + one.span_id + one.time, time: Date.parse(one.time) / 1_000, value: one.value, to: traceOf(one), label: `${measure(one.value)}: its trace` }],
          ),
    };
  }, [answer, found, format, measure, sameScale]);

  const aside = (
    <Button look="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
      <Icon name={asTable ? "chart" : "table"} size={14} /> {asTable ? "Show as chart" : "Show as table"}
    </Button>
  );
  return (
    <>
      <Card title={metric.name} aside={aside}>
        <p className="quiet metric-about">
          {metric.description !== "" && `${metric.description.replace(/\.?$/, ".")} `}
          {metric.type.replaceAll("_", " ")}
          {metric.unit !== "" && `, in ${metric.unit}`}, of {metric.services.join(", ")}
          {metric.more_services && " and others"}
        </p>
        <Controls metric={metric} view={view} labels={labels} set={set} />
        {query.isPending && query.isFetching && <Skeleton height={320} label="Loading the chart" />}
        {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
        {data !== null && <ChartPanel title={`${used === "quantile" ? `quantile ${view.quantile}` : (used ?? "")} of ${metric.name}`} data={data} asTable={asTable} syncKey="metric" height={300} />}
        {answer !== undefined && answer.series.length > LINES_MAX && (
          <p className="quiet">
            The first {LINES_MAX} of {answer.series.length} series. Group them to see all.
          </p>
        )}
        {answer?.series.length === 0 && (
          <Empty icon="search" title="Nothing was measured in this time">
            <p>Choose a longer time, or any service.</p>
          </Empty>
        )}
      </Card>
      <Exemplars exemplars={found ?? []} format={measure} />
    </>
  );
}
