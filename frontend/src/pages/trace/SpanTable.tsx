import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef, useState } from "react";

import { duration } from "../../lib/format";
import { Icon } from "../../ui/Icon";
import type { CriticalPath } from "./critical";
import type { Row } from "./layout";

const ROW_PX = 30;

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
  return critical?.pieces.get(row.span.span_id)?.reduce((sum, piece) => sum + piece.durationMs, 0) ?? 0;
}

function comparer(column: Column, critical: CriticalPath | null): (a: Row, b: Row) => number {
  switch (column) {
    case "start":
      return (a, b) => a.startMs - b.startMs;
    case "service":
      return (a, b) => a.span.service.localeCompare(b.span.service);
    case "name":
      return (a, b) => a.span.name.localeCompare(b.span.name);
    case "duration":
      return (a, b) => b.span.duration_ms - a.span.duration_ms;
    case "self":
      return (a, b) => b.selfMs - a.selfMs;
    case "critical":
      return (a, b) => criticalMs(critical, b) - criticalMs(critical, a);
    case "status":
      return (a, b) => Number(b.span.status === "error") - Number(a.span.status === "error");
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
    const wanted = matches === null ? rows : rows.filter((row) => matches.has(row.span.span_id));
    return wanted.toSorted(comparer(by, critical));
  }, [rows, by, critical, matches]);
  const list = useVirtualizer({
    count: shown.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 16,
  });
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
          <div role="rowgroup" className="spans__body" style={{ height: list.getTotalSize() }}>
            {list.getVirtualItems().map((item) => {
              const row = shown[item.index];
              if (row === undefined) return null;
              const { span } = row;
              const onPath = criticalMs(critical, row);
              return (
                <div
                  key={span.span_id}
                  role="row"
                  aria-rowindex={item.index + 2}
                  className="spans__row"
                  data-selected={span.span_id === selected}
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  <span role="cell" className="num">+{duration(row.startMs)}</span>
                  <span role="cell">{span.service}</span>
                  <span role="cell">
                    <button type="button" className="link-button" onClick={() => onSelect(span.span_id)}>
                      {span.name}
                    </button>
                  </span>
                  <span role="cell" className="num">{duration(span.duration_ms)}</span>
                  <span role="cell" className="num">{duration(row.selfMs)}</span>
                  <span role="cell" className="num">
                    {critical === null ? "–" : onPath === 0 ? <span className="quiet">not on it</span> : duration(onPath)}
                  </span>
                  <span role="cell">
                    {span.status === "error" ? (
                      <span className="status status--bad">
                        <Icon name="alert" size={13} /> error
                      </span>
                    ) : (
                      <span className="quiet">{span.status}</span>
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
