import { useRef, useState } from "react";

import { SEVERITIES, type LogCounts } from "../../api/logs";
import { axisTime, clockTime, compactCount, dayAndTime, duration, plural } from "../../lib/format";
import { useWidth } from "../../lib/useWidth";
import { severityColors } from "./search";

const HEIGHT = 112;
const FOOT = 18;
const TICK_PX = 110;
const LABEL_PX = 58; // what a label takes behind its bar

interface Props {
  counts: LogCounts;
  asTable: boolean;
  onRange: (startMs: number, endMs: number) => void;
}

function Legend({ counts }: { counts: LogCounts }) {
  return (
    <ul className="log-legend">
      {SEVERITIES.filter((severity) => (counts.totals[severity] ?? 0) > 0).map((severity) => (
        <li key={severity}>
          <i style={{ background: `var(${severityColors[severity]})` }} aria-hidden="true" />
          {severity} <strong>{compactCount(counts.totals[severity] ?? 0)}</strong>
        </li>
      ))}
    </ul>
  );
}

function Bars({ counts, width, onRange }: Omit<Props, "asTable"> & { width: number }) {
  const [hover, setHover] = useState<number | null>(null);
  const most = Math.max(1, ...counts.steps.map((step) => step.total));
  const each = width / Math.max(1, counts.steps.length);
  const stepMs = counts.step_s * 1_000;
  const everyBars = Math.max(1, Math.ceil((counts.steps.length * TICK_PX) / Math.max(width, TICK_PX)));
  const span = counts.steps.length * counts.step_s;
  const shown = hover === null ? undefined : counts.steps[hover];
  return (
    <>
      <svg width={width} height={HEIGHT + FOOT} role="group" aria-label="Records over time; choosing a bar narrows the search to its time">
        {counts.steps.map((step, index) => {
          const start = Date.parse(step.time);
          let top = HEIGHT;
          return (
            <g
              key={step.time}
              className="log-bar"
              role="button"
              tabIndex={step.total > 0 ? 0 : -1}
              aria-label={`${dayAndTime(new Date(start))}: ${plural(step.total, "record")}`}
              onClick={() => onRange(start, start + stepMs)}
              onKeyDown={(event) => {
                if (event.key === "Enter" || event.key === " ") {
                  event.preventDefault();
                  onRange(start, start + stepMs);
                }
              }}
              onMouseEnter={() => setHover(index)}
              onMouseLeave={() => setHover(null)}
              onFocus={() => setHover(index)}
              onBlur={() => setHover(null)}
            >
              <rect className="log-bar__ground" x={index * each} y={0} width={each} height={HEIGHT} />
              {SEVERITIES.toReversed().map((severity) => {
                const height = ((step.counts[severity] ?? 0) / most) * (HEIGHT - 4);
                top -= height;
                return height === 0 ? null : (
                  <rect
                    key={severity}
                    x={index * each + 0.5}
                    y={top}
                    width={Math.max(1, each - 1.5)}
                    height={height}
                    fill={`var(${severityColors[severity]})`}
                  />
                );
              })}
            </g>
          );
        })}
        <line x1={0} x2={width} y1={HEIGHT + 0.5} y2={HEIGHT + 0.5} stroke="var(--border)" />
        {Array.from({ length: Math.ceil(counts.steps.length / everyBars) }, (_, tick) => {
          const index = tick * everyBars;
          const step = counts.steps[index];
          return step === undefined || (tick > 0 && index * each > width - LABEL_PX) ? null : (
            <text key={step.time} x={index * each} y={HEIGHT + 14}>
              {axisTime(new Date(step.time), span)}
            </text>
          );
        })}
      </svg>
      <p className="quiet log-hover">
        {shown === undefined
          ? `${plural(counts.total, "record")}; each bar is ${duration(counts.step_s * 1_000)}`
          : `${clockTime(new Date(shown.time))}: ${plural(shown.total, "record")}${SEVERITIES.filter((one) => shown.counts[one]).map((one) => `, ${one} ${compactCount(shown.counts[one] ?? 0)}`).join("")}`}
      </p>
    </>
  );
}

function Table({ counts, onRange }: Omit<Props, "asTable">) {
  const columns = SEVERITIES.filter((severity) => (counts.totals[severity] ?? 0) > 0);
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="chart__table log-table" tabIndex={0} role="region" aria-label="Records over time as a table">
      <table className="table table--dense">
        <thead>
          <tr>
            <th scope="col">From</th>
            {columns.map((severity) => (
              <th key={severity} scope="col" className="num">
                {severity}
              </th>
            ))}
            <th scope="col" className="num">All</th>
          </tr>
        </thead>
        <tbody>
          {counts.steps
            .filter((step) => step.total > 0)
            .toReversed()
            .map((step) => (
              <tr key={step.time}>
                <th scope="row">
                  <button type="button" className="linklike" onClick={() => onRange(Date.parse(step.time), Date.parse(step.time) + counts.step_s * 1_000)}>
                    {dayAndTime(new Date(step.time))}
                  </button>
                </th>
                {columns.map((severity) => (
                  <td key={severity} className="num">
                    {compactCount(step.counts[severity] ?? 0)}
                  </td>
                ))}
                <td className="num">{compactCount(step.total)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}

/** How many records of each severity there were over time; a click on a bar narrows the search. */
export function Histogram({ counts, asTable, onRange }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  return (
    <figure className="log-histogram" aria-label="Records over time">
      <Legend counts={counts} />
      <div ref={box}>
        {asTable && <Table counts={counts} onRange={onRange} />}
        {!asTable && width > 0 && <Bars counts={counts} width={width} onRange={onRange} />}
      </div>
    </figure>
  );
}
