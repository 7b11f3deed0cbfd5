/** A chart with its name, its newest values, and the same numbers as a table. */

import { lazy, Suspense, useState } from "react";

import { clockTime, dayAndTime } from "../lib/format";
import { ErrorBoundary } from "../ui/ErrorBoundary";
import { Value } from "../ui/Value";
import type { ChartData } from "./series";

const load = () => import("./TimeChart");
const TimeChart = lazy(load);

/** Fetches the chart code before the numbers have come, so that the two do not wait for each other. */
export function preloadCharts(): void {
  void load();
}

interface Props {
  title: string;
  data: ChartData;
  asTable: boolean;
  syncKey: string;
  height?: number;
}

function newestKnown(values: readonly (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

const HALF_DAY_S = 43_200;

/** A moment of the chart; with its day where the chart is long. */
function moment(times: readonly number[], time: number): string {
  const long = (times.at(-1) ?? 0) - (times[0] ?? 0) > HALF_DAY_S;
  const date = new Date(time * 1_000);
  return long ? dayAndTime(date).slice(0, -3) : clockTime(date);
}

function Legend({ data, at }: { data: ChartData; at: number | null }) {
  return (
    <dl className="legend">
      {data.series.map((series) => (
        <div key={series.label} className="legend__item">
          <dt>
            <svg width="16" height="8" aria-hidden="true">
              <line
                x1="0"
                x2="16"
                y1="4"
                y2="4"
                stroke={`var(${series.color})`}
                strokeWidth="2"
                strokeDasharray={series.dash?.join(" ")}
              />
            </svg>
            {series.label}
          </dt>
          <dd>
            <Value of={at === null ? newestKnown(series.values) : series.values[at]} as={data.format} />
          </dd>
        </div>
      ))}
      {data.marksLabel !== undefined && (data.marks?.length ?? 0) > 0 && (
        <div className="legend__item">
          <dt>
            <svg width="10" height="10" aria-hidden="true">
              <circle cx="5" cy="5" r="4" fill="var(--series-3)" />
            </svg>
            {data.marksLabel}
          </dt>
          <dd>{data.marks?.length}</dd>
        </div>
      )}
    </dl>
  );
}

function NumbersTable({ title, data, height }: { title: string; data: ChartData; height: number }) {
  const order = data.times.map((_, index) => index).reverse();
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="chart__table" style={{ height }} tabIndex={0} role="region" aria-label={`${title} as a table`}>
      <table className="table table--dense">
        <thead>
          <tr>
            <th scope="col">Time</th>
            {data.series.map((series) => (
              <th key={series.label} scope="col" className="num">
                {series.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {order.map((index) => (
            <tr key={data.times[index]}>
              <th scope="row">{moment(data.times, data.times[index] ?? 0)}</th>
              {data.series.map((series) => (
                <td key={series.label} className="num">
                  <Value of={series.values[index]} as={data.format} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function ChartPanel({ title, data, asTable, syncKey, height = 168 }: Props) {
  const [at, setAt] = useState<number | null>(null);
  const shown = asTable ? null : at;
  const time = shown === null ? undefined : data.times[shown];
  const reserve = <div style={{ height }} />;
  return (
    <figure className="chart" aria-label={title}>
      <figcaption className="chart__head">
        <h3>{title}</h3>
        <span className="quiet chart__time">{time === undefined ? "newest" : moment(data.times, time)}</span>
        <Legend data={data} at={shown} />
      </figcaption>
      {asTable ? (
        <NumbersTable title={title} data={data} height={height} />
      ) : (
        <ErrorBoundary what="The chart">
          <Suspense fallback={reserve}>
            <TimeChart data={data} height={height} syncKey={syncKey} onPoint={setAt} />
          </Suspense>
        </ErrorBoundary>
      )}
    </figure>
  );
}
