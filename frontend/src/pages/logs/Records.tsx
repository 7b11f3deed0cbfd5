import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";

import type { LogRecord } from "../../api/logs";
import { clockTime, dayAndTime } from "../../lib/format";
import { Icon } from "../../ui/Icon";
import { Detail } from "./Detail";
import { severityTones } from "./search";

const ROW_PX = 33;
const NEAR_END = 20;

interface RowProps {
  record: LogRecord;
  open: boolean;
  onToggle: () => void;
  onFilter: (pair: string) => void;
}

export function Row({ record, open, onToggle, onFilter }: RowProps) {
  const date = new Date(record.time);
  return (
    <article className="log-row" data-tone={severityTones[record.severity]}>
      <button type="button" className="log-row__line" aria-expanded={open} onClick={onToggle}>
        <Icon name="chevron" size={12} />
        <time dateTime={record.time} title={dayAndTime(date, true)}>
          {clockTime(date, true)}
        </time>
        <span className={`log-row__severity status--${severityTones[record.severity]}`}>{record.severity}</span>
        <span className="log-row__service">{record.service}</span>
        <span className="log-row__body">{record.body === "" ? record.event_name : record.body}</span>
      </button>
      {open && <Detail record={record} onFilter={onFilter} />}
    </article>
  );
}

interface Props {
  records: readonly LogRecord[];
  more: boolean;
  loading: boolean;
  stale: boolean;
  onMore: () => void;
  onFilter: (pair: string) => void;
}

/**
 * The records, newest first. Only those on the screen are in the page; the next ones are fetched near the end.
 * Stale ones answer an earlier search: they stand there, pale, until the answer has come, and nothing in them can be
 * clicked that would be gone a moment later.
 */
export function Records({ records, more, loading, stale, onMore, onFilter }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const rows = useVirtualizer({
    count: records.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
    getItemKey: (index) => records[index]?.id ?? index,
  });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const wanting = more && !loading && last >= records.length - NEAR_END;
  useEffect(() => {
    if (wanting) onMore();
  }, [wanting, onMore]);
  const toggle = (id: string) =>
    setOpen((old) => {
      const next = new Set(old);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div ref={box} className="log-list" tabIndex={0} inert={stale} aria-busy={stale} role="region" aria-label="Log records, newest first">
      <ul style={{ height: rows.getTotalSize() }}>
        {items.map((item) => {
          const record = records[item.index];
          return record === undefined ? null : (
            <li key={item.key} ref={rows.measureElement} data-index={item.index} style={{ transform: `translateY(${item.start}px)` }}>
              <Row record={record} open={open.has(record.id)} onToggle={() => toggle(record.id)} onFilter={onFilter} />
            </li>
          );
        })}
      </ul>
      {loading && <p className="quiet log-list__end">Loading more …</p>}
    </div>
  );
}
