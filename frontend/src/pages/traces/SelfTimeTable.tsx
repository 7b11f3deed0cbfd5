import type { OperationDifference } from "../../api/traceTypes";
import { duration } from "../../lib/format";
import { Card } from "../../ui/Card";

const SHOWN = 30;

interface Props {
  title: string;
  rows: OperationDifference[];
  left: string;
  right: string;
  perTrace?: boolean;
}

function signed(ms: number): string {
  if (Math.abs(ms) < 0.0005) return "±0";
  return `${ms < 0 ? "−" : "+"}${duration(Math.abs(ms))}`;
}

function calls(count: number): string {
  return count >= 10 || Number.isInteger(count) ? String(Math.round(count)) : count.toFixed(2);
}

/** Operations with their own time on both sides, the largest difference first. Also on the page that compares two traces. */
export function SelfTimeTable({ title, rows, left, right, perTrace = false }: Props) {
  if (rows.length === 0) return null;
  return (
    <Card
      title={title}
      flush
      aside={<span className="quiet">{perTrace ? "time in the operation itself, per trace" : "time in the operation itself"}</span>}
    >
      <div className="scroll-x">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Operation</th>
              <th scope="col" className="num wide-only">
                Calls
              </th>
              <th scope="col" className="num">
                {left}
              </th>
              <th scope="col" className="num">
                {right}
              </th>
              <th scope="col" className="num">
                Difference
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, SHOWN).map((row) => (
              <tr key={`${row.service} ${row.operation}`}>
                <th scope="row">
                  {row.service} <span className="quiet">{row.operation}</span>
                </th>
                <td className="num wide-only">
                  {calls(row.left_calls)} → {calls(row.right_calls)}
                </td>
                <td className="num">{duration(row.left_self_ms)}</td>
                <td className="num">{duration(row.right_self_ms)}</td>
                <td className="num" data-tone={row.delta_self_ms > 1 ? "bad" : undefined}>
                  {signed(row.delta_self_ms)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
