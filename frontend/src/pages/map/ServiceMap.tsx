import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";

import { useOverview } from "../../api/queries";
import { useDependencies } from "../../api/traceQueries";
import type { Dependencies, Dependency, RequestFigures } from "../../api/traceTypes";
import type { ServiceStatus } from "../../api/types";
import { compactCount, duration, percent, rate } from "../../lib/format";
import { rangeParams, rangeProblem, readRange, writeRange, type Range } from "../../lib/range";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { RangeFields } from "../../ui/RangeFields";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Value } from "../../ui/Value";
import { searchPath } from "../traces/search";
import { Diagram } from "./Diagram";
import { perSecond } from "./graph";
import "../../styles/analysis.css";
import "./map.css";

const USUAL_MINUTES = "60";

function Calls({ edges, seconds }: { edges: Dependency[]; seconds: number | null }) {
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="scroll-x" tabIndex={0} role="region" aria-label="Calls as a table">
      <table className="table calls">
        <thead>
          <tr>
            <th scope="col">Caller</th>
            <th scope="col">Calls</th>
            <th scope="col" className="num">Req/s</th>
            <th scope="col" className="num wide-only">Requests</th>
            <th scope="col" className="num">Errors</th>
            <th scope="col" className="num">Mean</th>
          </tr>
        </thead>
        <tbody>
          {edges.map((edge) => (
            <tr key={`${edge.caller} ${edge.callee}`}>
              <th scope="row">{edge.caller}</th>
              <td>{edge.callee}</td>
              <td className="num">
                <Value of={perSecond(edge.requests, seconds)} as={rate} />
              </td>
              <td className="num wide-only">{compactCount(edge.requests)}</td>
              <td className="num" data-tone={edge.errors > 0 ? "bad" : undefined}>
                <Value of={edge.error_rate} as={percent} />
              </td>
              <td className="num">
                <Value of={edge.mean_ms} as={duration} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Chosen({ figures, name, range, onClose }: { figures: RequestFigures | undefined; name: string; range: Range; onClose: () => void }) {
  const search = { service: name, minutes: range.minutes, start: range.start, end: range.end };
  return (
    <section className="card chosen" aria-label={`Service ${name}`}>
      <header>
        <h2>{name}</h2>
        <Button look="quiet" onClick={onClose}>
          <Icon name="cross" size={14} /> All services
        </Button>
      </header>
      <dl className="chosen__facts">
        {(
          [
            ["Requests", figures?.requests, compactCount],
            ["Errors", figures?.error_rate, percent],
            ["P50", figures?.p50_ms, duration],
            ["P95", figures?.p95_ms, duration],
            ["P99", figures?.p99_ms, duration],
          ] as const
        ).map(([label, value, as]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              <Value of={value} as={as} />
            </dd>
          </div>
        ))}
      </dl>
      <p className="chosen__links">
        <Link to={searchPath(search)}>Its traces</Link>
        <Link to={searchPath({ ...search, errorsOnly: true })}>Traces with its errors</Link>
        <Link to={`${searchPath(search)}&view=latency`}>Latency</Link>
        <Link to={`${searchPath(search)}&view=differences`}>What is different about the slow ones</Link>
        <Link to={`/?service=${encodeURIComponent(name)}`}>Live charts</Link>
      </p>
    </section>
  );
}

interface ShownProps {
  data: Dependencies;
  range: Range;
  chosen: string | null;
  onChoose: (service: string | null) => void;
}

function Shown({ data, range, chosen, onChoose }: ShownProps) {
  const overview = useOverview();
  const seconds = data.known_s;
  const figures = useMemo(() => new Map(data.services.map((one) => [one.service, one])), [data]);
  // Health is known of now only: on the map of an earlier time it would be a lie.
  const relative = range.minutes !== "";
  const health = useMemo(
    () => new Map<string, ServiceStatus>(relative ? overview.data?.services.map((one) => [one.service, one.status]) : []),
    [overview.data, relative],
  );
  if (data.services.length === 0) {
    return (
      <div className="card">
        <Empty icon="search" title="No service was seen in this time">
          <p>
            Take a longer time. If nothing sends telemetry yet, the <Link to="/">overview</Link> says how to begin.
          </p>
        </Empty>
      </div>
    );
  }
  const edges = chosen === null ? data.dependencies : data.dependencies.filter((edge) => edge.caller === chosen || edge.callee === chosen);
  return (
    <>
      {chosen !== null && <Chosen name={chosen} figures={figures.get(chosen)} range={range} onClose={() => onChoose(null)} />}
      <Diagram data={data} figures={figures} health={health} seconds={seconds} chosen={chosen} onChoose={onChoose} />
      <Card
        title={chosen === null ? "Calls between services" : `Calls of and to ${chosen}`}
        flush
        aside={<span className="quiet">from every span, whatever was sampled</span>}
      >
        {edges.length === 0 ? (
          <Empty icon="question" title="No calls between services were seen">
            <p>They are known from spans of different services in one trace: check that the trace context is handed on.</p>
          </Empty>
        ) : (
          <Calls edges={edges} seconds={seconds} />
        )}
      </Card>
    </>
  );
}

/** Who calls whom, how often and how well. Time and chosen service stand in the address. */
export default function ServiceMap() {
  usePageTitle("Service map");
  const [params, setParams] = useSearchParams();
  const range = readRange(params, USUAL_MINUTES);
  const problem = rangeProblem(range);
  const query = useDependencies(rangeParams(range), problem === null);
  const chosen = params.get("service");
  const change = (edit: (params: URLSearchParams) => void) => {
    const wanted = new URLSearchParams(params);
    edit(wanted);
    setParams(wanted);
  };
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Service map</h1>
        <div className="map__range">
          <RangeFields range={range} onChange={(next) => change((wanted) => writeRange(wanted, next, USUAL_MINUTES))} />
        </div>
      </div>
      {problem !== null && <p role="alert">{problem}</p>}
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
      {query.data === undefined && query.isFetching && <Skeleton height={420} label="Loading the map" />}
      {query.data !== undefined && (
        <Shown
          data={query.data}
          range={range}
          chosen={chosen}
          onChoose={(service) =>
            change((wanted) => {
              if (service === null || service === chosen) wanted.delete("service");
              else wanted.set("service", service);
            })
          }
        />
      )}
    </div>
  );
}
