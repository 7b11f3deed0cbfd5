import { useMemo, useState } from "react";

import { useLatency, useOperationFigures } from "../../api/traceQueries";
import type { Latency, RequestFigures } from "../../api/traceTypes";
import { ChartPanel } from "../../charts/ChartPanel";
import type { ChartData } from "../../charts/series";
import { compactCount, duration, percent } from "../../lib/format";
import { rangeParams, rangeSeconds, stepFor } from "../../lib/range";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Value } from "../../ui/Value";
import type { Narrowed } from "./heat";
import { HeatMap, HeatTable } from "./HeatMap";
import type { Search } from "./search";

const STEPS = 60;
const OPERATION_STEP_S = 60; // operations are kept by the minute
const SHORTEST_STEP_S = 5;

interface Props {
  search: Search;
  onNarrow: (to: Narrowed) => void;
  onOperation: (operation: string) => void;
}

function chartOf(latency: Latency): ChartData {
  return {
    times: latency.points.map((point) => Date.parse(point.time) / 1_000),
    series: [
      { label: "P50", color: "--series-2", values: latency.points.map((point) => point.p50_ms) },
      { label: "P95", color: "--series-1", dash: [6, 3], values: latency.points.map((point) => point.p95_ms) },
      { label: "P99", color: "--series-3", dash: [2, 3], values: latency.points.map((point) => point.p99_ms) },
    ],
    format: duration,
  };
}

function Operations({ rows, chosen, onOperation }: { rows: RequestFigures[]; chosen: string; onOperation: Props["onOperation"] }) {
  return (
    <div className="scroll-x">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">Operation</th>
            <th scope="col" className="num">Requests</th>
            <th scope="col" className="num">Errors</th>
            <th scope="col" className="num">P50</th>
            <th scope="col" className="num">P95</th>
            <th scope="col" className="num">P99</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.operation}>
              <th scope="row">
                <button
                  type="button"
                  className="link-button"
                  aria-pressed={row.operation === chosen}
                  onClick={() => onOperation(row.operation === chosen ? "" : (row.operation ?? ""))}
                >
                  {row.operation}
                </button>
              </th>
              <td className="num">{compactCount(row.requests)}</td>
              <td className="num" data-tone={(row.error_rate ?? 0) > 0 ? "bad" : undefined}>
                <Value of={row.error_rate} as={percent} />
              </td>
              <td className="num"><Value of={row.p50_ms} as={duration} /></td>
              <td className="num"><Value of={row.p95_ms} as={duration} /></td>
              <td className="num"><Value of={row.p99_ms} as={duration} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** P50, P95, P99 and the heat map of a service or an operation: of every request, whatever was sampled. */
export function LatencyView({ search, onNarrow, onOperation }: Props) {
  const [asTable, setAsTable] = useState(false);
  const seconds = rangeSeconds(search);
  const ready = search.service !== "" && seconds !== null;
  const range = rangeParams(search);
  const step = stepFor(seconds ?? STEPS, STEPS, search.operation === "" ? SHORTEST_STEP_S : OPERATION_STEP_S);
  const latency = useLatency({ service: search.service, operation: search.operation, ...range, step_s: step }, ready);
  const operations = useOperationFigures({ service: search.service, ...range }, ready);
  const chart = useMemo(() => (latency.data === undefined ? null : chartOf(latency.data)), [latency.data]);
  if (search.service === "") {
    return (
      <div className="card">
        <Empty icon="gauge" title="Choose a service">
          <p>Its percentiles and its heat map of durations come from every request, whatever was sampled.</p>
        </Empty>
      </div>
    );
  }
  if (latency.isError) return <Failed error={latency.error} retry={() => void latency.refetch()} />;
  if (latency.data === undefined || chart === null) return <Skeleton height={520} label="Loading the durations" />;
  const of = search.operation === "" ? search.service : `${search.service} ${search.operation}`;
  return (
    <>
      <Card
        title={`How long requests to ${of} take`}
        aside={
          <Button look="quiet" onClick={() => setAsTable(!asTable)}>
            <Icon name={asTable ? "chart" : "table"} size={14} /> {asTable ? "Show as charts" : "Show as table"}
          </Button>
        }
      >
        {latency.data.buckets.length === 0 ? (
          <Empty icon="search" title="No request in this time">
            <p>Take a longer time, or another service.</p>
          </Empty>
        ) : (
          <div className="stack">
            <ChartPanel title="Percentiles" data={chart} asTable={asTable} syncKey="latency" />
            <figure className="chart" aria-label="Heat map">
              <figcaption className="chart__head">
                <h3>Requests by duration</h3>
                <span className="quiet chart__time">
                  {asTable ? "a number" : "the stronger, the more requests; a cell"} leads to its traces
                </span>
              </figcaption>
              {asTable ? <HeatTable latency={latency.data} onNarrow={onNarrow} /> : <HeatMap latency={latency.data} onNarrow={onNarrow} />}
            </figure>
          </div>
        )}
      </Card>
      {operations.data !== undefined && operations.data.operations.length > 0 && (
        <Card title={`Operations of ${search.service}`} flush>
          <Operations rows={operations.data.operations} chosen={search.operation} onOperation={onOperation} />
        </Card>
      )}
    </>
  );
}
