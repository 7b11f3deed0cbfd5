import type { OperationTime } from "../../api/traceTypes";
import { duration, percent } from "../../lib/format";
import { Card } from "../../ui/Card";

const SHOWN = 200;

/** The operations of a trace, the most time of their own first. */
export function OperationsTable({ rows, totalMs }: { rows: OperationTime[]; totalMs: number }) {
  return (
    <Card
      title="Where the time went"
      flush
      aside={<span className="quiet">{rows.length > SHOWN ? `the first ${SHOWN} of ${rows.length} operations` : "by self time"}</span>}
    >
      {/* A scrolling region has to be reachable by keyboard. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="scroll-x" tabIndex={0} role="region" aria-label="Operations">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Operation</th>
              <th scope="col">Share of all self time</th>
              <th scope="col" className="num">In itself</th>
              <th scope="col" className="num">Critical path</th>
              <th scope="col" className="num wide-only">Spans</th>
              <th scope="col" className="num wide-only">Errors</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, SHOWN).map((row) => (
              <tr key={`${row.service} ${row.operation}`}>
                <th scope="row">
                  {row.service} <span className="quiet">{row.operation}</span>
                </th>
                <td>
                  <span className="share">
                    <span className="share__bar" aria-hidden="true">
                      <span style={{ width: `${row.self_share * 100}%` }} />
                    </span>
                    <span>{percent(row.self_share)}</span>
                  </span>
                </td>
                <td className="num">{duration(row.self_ms)}</td>
                <td className="num">{totalMs > 0 ? percent(row.critical_ms / totalMs) : "–"}</td>
                <td className="num wide-only">{row.spans}</td>
                <td className="num wide-only" data-tone={row.errors > 0 ? "bad" : undefined}>{row.errors}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
