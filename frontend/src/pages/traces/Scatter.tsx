import { useRef, useState } from "react";
import { Link, useNavigate } from "react-router";

import type { TraceSummary } from "../../api/types";
import { clockTime, dayAndTime, duration } from "../../lib/format";
import { useWidth } from "../../lib/useWidth";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";

const HEIGHT = 150;
const LEFT = 56;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 24;
const SHORTEST_MS = 0.01;
const NAME_MAX = 120;

function decades(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.floor(Math.log10(high)); power += 1) ticks.push(10 ** power);
  return ticks;
}

/** Duration over time, one mark per trace: a dot, or a diamond where it has errors. */
function Scatter({ traces }: { traces: TraceSummary[] }) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const navigate = useNavigate();

  const times = traces.map((trace) => Date.parse(trace.start));
  const lengths = traces.map((trace) => Math.max(trace.duration_ms, SHORTEST_MS));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const [low, high] = [Math.min(...lengths) / 1.5, Math.max(...lengths) * 1.5];
  const x = (time: number) => LEFT + ((time - first) / Math.max(1, last - first)) * (width - LEFT - RIGHT);
  const y = (ms: number) =>
    TOP + (1 - Math.log(ms / low) / Math.max(1e-9, Math.log(high / low))) * (HEIGHT - TOP - BOTTOM);
  const ticks = decades(low, high);

  return (
    <div ref={box} style={{ height: HEIGHT }}>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label="Duration of the traces over time; also as a table">
          {(ticks.length > 0 ? ticks : [low * 1.5]).map((tick) => (
            <g key={tick}>
              <line x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} stroke="var(--grid)" />
              <text x={LEFT - 8} y={y(tick) + 4} textAnchor="end">
                {duration(tick)}
              </text>
            </g>
          ))}
          <text x={LEFT} y={HEIGHT - 6}>
            {clockTime(new Date(first))}
          </text>
          <text x={width - RIGHT} y={HEIGHT - 6} textAnchor="end">
            {clockTime(new Date(last))}
          </text>
          {traces.map((trace, index) => {
            const [cx, cy] = [x(times[index] ?? first), y(lengths[index] ?? low)];
            const open = () => void navigate(`/traces/${trace.trace_id}`);
            const name = `${trace.root_service} ${trace.root_operation}, ${duration(trace.duration_ms)}`;
            // The table and the list below are the way for the keyboard; a mark is a shortcut for the mouse.
            return trace.error_count > 0 ? (
              <path
                key={trace.trace_id}
                className="scatter__mark scatter__mark--bad"
                d={`M${cx} ${cy - 6}l6 6l-6 6l-6 -6z`}
                onClick={open}
              >
                <title>{`${name}, ${trace.error_count} errors`}</title>
              </path>
            ) : (
              <circle key={trace.trace_id} className="scatter__mark" cx={cx} cy={cy} r={4.5} onClick={open}>
                <title>{name}</title>
              </circle>
            );
          })}
        </svg>
      )}
    </div>
  );
}

function ScatterTable({ traces }: { traces: TraceSummary[] }) {
  const byDuration = traces.toSorted((a, b) => b.duration_ms - a.duration_ms);
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="chart__table scatter__table" tabIndex={0} role="region" aria-label="Duration of the traces as a table">
      <table className="table table--dense">
        <thead>
          <tr>
            <th scope="col">Trace, the longest first</th>
            <th scope="col">Time</th>
            <th scope="col" className="num">Duration</th>
            <th scope="col" className="num">Errors</th>
          </tr>
        </thead>
        <tbody>
          {byDuration.map((trace) => (
            <tr key={trace.trace_id}>
              <th scope="row">
                <Link to={`/traces/${trace.trace_id}`}>
                  {trace.root_service} {trace.root_operation.slice(0, NAME_MAX)}
                </Link>
              </th>
              <td>{dayAndTime(new Date(trace.start))}</td>
              <td className="num">{duration(trace.duration_ms)}</td>
              <td className="num" data-tone={trace.error_count > 0 ? "bad" : undefined}>
                {trace.error_count}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The traces that were found as a picture, or the same as a table. */
export function TracesChart({ traces }: { traces: TraceSummary[] }) {
  const [asTable, setAsTable] = useState(false);
  return (
    <figure className="scatter" aria-label="Duration of the traces">
      <figcaption className="scatter__head">
        <h2>Duration over time</h2>
        <Button look="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          <Icon name={asTable ? "chart" : "table"} size={14} /> {asTable ? "Show as chart" : "Show as table"}
        </Button>
      </figcaption>
      {asTable ? <ScatterTable traces={traces} /> : <Scatter traces={traces} />}
    </figure>
  );
}
