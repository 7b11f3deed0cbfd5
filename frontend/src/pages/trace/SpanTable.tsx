import { useMemo, useRef, useState } from "react";

import { duration } from "../../lib/format";
import { useRowWindow } from "../../lib/useRowWindow";
import { Icon } from "../../ui/Icon";
import type { CriticalPath } from "./critical";
import type { Row } from "./layout";

const ROW_PX = 30;
const NAME_SHOWN_MAX = 500; // more never fits

type Column = "start" | "service" | "name" | "duration" | "self" | "critical" | "status";

const COLUMNS: { id: Column; text: string; num?: boolean }[] = [
  { id: "start", text: "Start", num: true },
  { id: "service", text: "Service" },
  { id: "name", text: "Operation" },
  { id: "duration", text: "Duration", num: true },
  { id: "self", text: "In itself", num: true },
  { id: "critical", text: "Critical", num: true },
  { id: "status", text: "Status" },
];

function criticalMs(critical: CriticalPath | null, row: Row): number {
  return critical?.pieces.get(row.id)?.reduce((sum, piece) => sum + piece.durationMs, 0) ?? 0;
}

function comparer(column: Column, critical: CriticalPath | null): (a: Row, b: Row) => number {
  switch (column) {
    case "start":
      return (a, b) => a.startMs - b.startMs;
    case "service":
      return (a, b) => a.service.localeCompare(b.service);
    case "name":
      return (a, b) => a.name.localeCompare(b.name);
    case "duration":
      return (a, b) => b.durationMs - a.durationMs;
    case "self":
      return (a, b) => b.selfMs - a.selfMs;
    case "critical":
      return (a, b) => criticalMs(critical, b) - criticalMs(critical, a);
    case "status":
      return (a, b) => Number(b.failed) - Number(a.failed);
  }
}

interface Props {
  rows: readonly Row[];
  critical: CriticalPath | null;
  matches: ReadonlySet<string> | null;
  selected: string | null;
  onSelect: (id: string) => void;
}

/** The spans as a table, in any order. Only what is in sight is in the page. */
export function SpanTable({ rows, critical, matches, selected, onSelect }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [by, setBy] = useState<Column>("start");
  const shown = useMemo(() => {
    const wanted = matches === null ? rows : rows.filter((row) => matches.has(row.id));
    return wanted.toSorted(comparer(by, critical));
  }, [rows, by, critical, matches]);
  const { from, to, slots } = useRowWindow(box, shown.length, ROW_PX);
  return (
    <section className="card spans" aria-label="Spans">
      {/* A scrolling region has to be reachable by keyboard. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div ref={box} className="spans__scroll" tabIndex={0} role="region" aria-label="Spans as a table">
        <div role="table" aria-label="Spans" aria-rowcount={shown.length + 1} className="spans__table">
          <div role="rowgroup" className="spans__head">
            <div role="row" aria-rowindex={1} className="spans__row">
              {COLUMNS.map((column) => (
                <span
                  key={column.id}
                  role="columnheader"
                  className={column.num === true ? "num" : undefined}
                  aria-sort={by !== column.id ? "none" : column.id === "duration" || column.id === "self" || column.id === "critical" ? "descending" : "ascending"}
                >
                  <button type="button" onClick={() => setBy(column.id)}>
                    {column.text}
                    {by === column.id && <Icon name="down" size={11} />}
                  </button>
                </span>
              ))}
            </div>
          </div>
          <div role="rowgroup" className="spans__body" style={{ height: shown.length * ROW_PX }}>
            {shown.slice(from, to).map((row, offset) => {
              const index = from + offset;
              const onPath = criticalMs(critical, row);
              return (
                <div
                  key={index % slots}
                  role="row"
                  aria-rowindex={index + 2}
                  className="spans__row"
                  data-selected={row.id === selected}
                  style={{ transform: `translateY(${index * ROW_PX}px)` }}
                >
                  <span role="cell" className="num">+{duration(row.startMs)}</span>
                  <span role="cell">{row.service}</span>
                  <span role="cell">
                    <button type="button" className="link-button" onClick={() => onSelect(row.id)}>
                      {row.name.slice(0, NAME_SHOWN_MAX)}
                    </button>
                  </span>
                  <span role="cell" className="num">{duration(row.durationMs)}</span>
                  <span role="cell" className="num">{duration(row.selfMs)}</span>
                  <span role="cell" className="num">
                    {critical === null ? "–" : onPath === 0 ? <span className="quiet">not on it</span> : duration(onPath)}
                  </span>
                  <span role="cell">
                    {row.failed ? (
                      <span className="status status--bad">
                        <Icon name="alert" size={13} /> error
                      </span>
                    ) : (
                      <span className="quiet">{row.status}</span>
                    )}
                  </span>
                </div>
              );
            })}
          </div>
        </div>
      </div>
    </section>
  );
}
