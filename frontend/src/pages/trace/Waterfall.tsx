import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import { colorOf } from "../../lib/colors";
import { duration } from "../../lib/format";
import { Button } from "../../ui/Button";
import type { CriticalPath } from "./critical";
import { keyMove } from "./keyboard";
import { axisTicks, visibleRows, type Layout, type Row } from "./layout";
import { WaterfallRow } from "./WaterfallRow";

const ROW_PX = 28;
const LAST_LABEL_AT = 0.93; // of the width: behind it there is no room for a label
const FOLD_ABOVE = 2_000;

interface Props {
  layout: Layout;
  selected: string | null;
  critical: CriticalPath | null; // null: not known yet
  onlyCritical: boolean;
  matches: ReadonlySet<string> | null; // null: nothing is searched for
  onSelect: (spanId: string) => void;
}

/** All spans that have children: folding them leaves the roots. */
function parents(rows: readonly Row[]): Set<string> {
  return new Set(rows.filter((row) => row.children > 0).map((row) => row.span.span_id));
}

function Axis({ durationMs }: { durationMs: number }) {
  return (
    <div className="axis" aria-hidden="true">
      {axisTicks(durationMs, 5).map((tick) => (
        <span key={tick} style={{ left: `${durationMs > 0 ? (tick / durationMs) * 100 : 0}%` }}>
          {tick <= durationMs * LAST_LABEL_AT && duration(tick)}
        </span>
      ))}
    </div>
  );
}

/** The spans as a tree over time. One tab stop; arrow keys move and fold, only what is in sight is in the page. */
export function Waterfall({ layout, selected, critical, onlyCritical, matches, onSelect }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const rows = useMemo(() => visibleRows(layout.rows, collapsed), [layout, collapsed]);
  const places = useMemo(() => new Map(rows.map((row, index) => [row.span.span_id, index])), [rows]);
  const at = selected === null ? -1 : (places.get(selected) ?? -1);
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 16,
  });

  const toggle = useCallback((id: string) => {
    setCollapsed((old) => {
      const next = new Set(old);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  }, []);

  // What is selected from outside, by a search or the table, is unfolded.
  if (selected !== null && at < 0 && collapsed.size > 0 && layout.rows.some((row) => row.span.span_id === selected)) {
    setCollapsed(new Set());
  }

  const reveal = list.scrollToIndex;
  useEffect(() => {
    if (at >= 0) reveal(at, { align: "auto" });
  }, [at, reveal]);

  const onKeyDown = (event: KeyboardEvent) => {
    const move = keyMove(event.key, rows, at, collapsed);
    if (move === null) return;
    event.preventDefault();
    if (move.kind === "select") {
      const row = rows[move.index];
      if (row !== undefined) onSelect(row.span.span_id);
    } else toggle(move.id);
  };
  const nextError = () => {
    const origins = layout.rows.filter((row) => row.errorOrigin);
    const current = origins.findIndex((row) => row.span.span_id === selected);
    const next = origins[(current + 1) % origins.length];
    if (next === undefined) return;
    setCollapsed(new Set());
    onSelect(next.span.span_id);
    box.current?.focus();
  };

  return (
    <section className="card waterfall" aria-label="Waterfall">
      <div className="waterfall__head">
        <div className="controls">
          <Button look="quiet" onClick={() => setCollapsed(new Set())} disabled={collapsed.size === 0}>
            Unfold all
          </Button>
          <Button look="quiet" onClick={() => setCollapsed(parents(layout.rows))}>
            Fold all
          </Button>
          {layout.errors > 0 && (
            <Button look="quiet" onClick={nextError}>
              Next error
            </Button>
          )}
        </div>
        <Axis durationMs={layout.durationMs} />
      </div>
      <div
        ref={box}
        className="waterfall__rows"
        role="tree"
        aria-label={`Spans of the trace${layout.rows.length > FOLD_ABOVE ? ", many" : ""}`}
        tabIndex={0}
        aria-activedescendant={at >= 0 ? `span-${selected ?? ""}` : undefined}
        onKeyDown={onKeyDown}
      >
        <div role="presentation" className="waterfall__space" style={{ height: list.getTotalSize() }}>
          {list.getVirtualItems().map((item) => {
            const row = rows[item.index];
            return row === undefined ? null : (
              <WaterfallRow
                key={row.span.span_id}
                row={row}
                top={item.start}
                durationMs={layout.durationMs}
                color={colorOf(layout.colors, row.span.service)}
                folded={collapsed.has(row.span.span_id)}
                selected={row.span.span_id === selected}
                critical={critical?.pieces.get(row.span.span_id)}
                match={matches?.has(row.span.span_id) ?? false}
                dim={
                  (onlyCritical && critical !== null && !critical.pieces.has(row.span.span_id)) ||
                  (matches !== null && !matches.has(row.span.span_id))
                }
                onSelect={onSelect}
                onToggle={toggle}
              />
            );
          })}
        </div>
      </div>
    </section>
  );
}
