import { Link } from "react-router";

import { useBottlenecks } from "../../api/traceQueries";
import { compactCount, duration, percent } from "../../lib/format";
import { Card } from "../../ui/Card";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { groupSentence } from "./sampling";
import { conditions, searchProblem, type Search } from "./search";

/** In which operations the matching traces spend their time themselves. */
export function BottlenecksView({ search }: { search: Search }) {
  const query = useBottlenecks(conditions(search), searchProblem(search) === null);
  if (query.isError) return <Failed error={query.error} retry={() => void query.refetch()} />;
  if (query.data === undefined) return <Skeleton height={420} label="Adding up" />;
  const { bottlenecks, traces, notes } = query.data;
  if (bottlenecks.length === 0) {
    return (
      <div className="card">
        <Empty icon="search" title="No trace fits this search">
          <p>Try a longer time, or fewer conditions.</p>
        </Empty>
      </div>
    );
  }
  return (
    <Card
      title="Where the time goes"
      flush
      aside={
        <span className="quiet">
          {groupSentence(traces.traces, traces.weight)}. {notes.join(" ")}
        </span>
      }
    >
      <div className="scroll-x">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Operation</th>
              <th scope="col">Share of all self time</th>
              <th scope="col" className="num">Per trace</th>
              <th scope="col" className="num wide-only">P95 of a span</th>
              <th scope="col" className="num wide-only">On the critical path</th>
              <th scope="col" className="num wide-only">Spans</th>
              <th scope="col">Slowest</th>
            </tr>
          </thead>
          <tbody>
            {bottlenecks.map((one) => (
              <tr key={`${one.service} ${one.operation}`}>
                <th scope="row">
                  {one.service} <span className="quiet">{one.operation}</span>
                </th>
                <td>
                  <span className="share">
                    <span className="share__bar" aria-hidden="true">
                      <span style={{ width: `${one.self_share * 100}%` }} />
                    </span>
                    <span>{percent(one.self_share)}</span>
                  </span>
                </td>
                <td className="num">{duration(one.self_ms_per_trace)}</td>
                <td className="num wide-only">{duration(one.self_p95_ms)}</td>
                <td className="num wide-only">{percent(one.critical_share)}</td>
                <td className="num wide-only">{compactCount(one.spans)}</td>
                <td>
                  {one.example_trace_ids.slice(0, 1).map((id) => (
                    <Link key={id} to={`/traces/${id}`} className="mono">
                      {id.slice(0, 8)}
                    </Link>
                  ))}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
