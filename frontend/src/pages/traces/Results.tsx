import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { Link } from "react-router";

import type { TraceSummary } from "../../api/types";
import { colorOf, serviceColors } from "../../lib/colors";
import { dayAndTime, duration, plural } from "../../lib/format";
import { Icon } from "../../ui/Icon";
import { keptOf } from "./sampling";

const ROW_PX = 62;
const SERVICES_SHOWN = 5;

type Colors = ReadonlyMap<string, string>;

interface RowProps {
  trace: TraceSummary;
  longest: number;
  colors: Colors;
  picked: boolean;
  onPick: (id: string) => void;
}

function Row({ trace, longest, colors, picked, onPick }: RowProps) {
  const more = trace.services.length - SERVICES_SHOWN;
  return (
    <article className="trace-row" data-picked={picked}>
      <input
        type="checkbox"
        aria-label={`Compare ${trace.root_service} ${trace.root_operation} of ${dayAndTime(new Date(trace.start), true)}`}
        checked={picked}
        onChange={() => onPick(trace.trace_id)}
      />
      <div className="trace-row__main">
        <Link to={`/traces/${trace.trace_id}`}>
          <strong>{trace.root_service}</strong> {trace.root_operation}
        </Link>
        <p className="trace-row__services">
          {trace.services.slice(0, SERVICES_SHOWN).map((service) => (
            <span key={service}>
              <i style={{ background: colorOf(colors, service) }} aria-hidden="true" /> {service}
            </span>
          ))}
          {more > 0 && <span>+{more}</span>}
        </p>
      </div>
      <div className="trace-row__counts">
        <span className="quiet">
          {plural(trace.span_count, "span")}
          {trace.sampling_probability < 1 && `, ${keptOf(trace.sampling_probability)}`}
        </span>
        {trace.error_count > 0 && (
          <span className="status status--bad">
            <Icon name="alert" size={14} /> {plural(trace.error_count, "error")}
          </span>
        )}
      </div>
      <div className="trace-row__time">
        <strong>{duration(trace.duration_ms)}</strong>
        <span className="trace-row__bar" aria-hidden="true">
          <span
            data-bad={trace.error_count > 0}
            style={{ width: `${Math.max(0.5, (trace.duration_ms / longest) * 100)}%` }}
          />
        </span>
        <time className="quiet" dateTime={trace.start}>
          {dayAndTime(new Date(trace.start), true)}
        </time>
      </div>
    </article>
  );
}

interface Props {
  traces: TraceSummary[];
  picked: readonly string[];
  onPick: (id: string) => void;
}

/** The traces that were found. */
export function Results({ traces, picked, onPick }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: traces.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
    getItemKey: (index) => traces[index]?.trace_id ?? index,
  });
  const colors = useMemo(() => serviceColors(traces.flatMap((trace) => trace.services)), [traces]);
  const longest = Math.max(...traces.map((trace) => trace.duration_ms), Number.MIN_VALUE);
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div ref={box} className="results" tabIndex={0} role="region" aria-label="Traces, newest first">
      <ul style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const trace = traces[item.index];
          return trace === undefined ? null : (
            <li
              key={item.key}
              ref={rows.measureElement}
              data-index={item.index}
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <Row
                trace={trace}
                longest={longest}
                colors={colors}
                picked={picked.includes(trace.trace_id)}
                onPick={onPick}
              />
            </li>
          );
        })}
      </ul>
    </div>
  );
}
