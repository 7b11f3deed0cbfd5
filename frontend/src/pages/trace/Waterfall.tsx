import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import { colorOf } from "../../lib/colors";
import { duration } from "../../lib/format";
import { useRowWindow } from "../../lib/useRowWindow";
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
  return new Set(rows.filter((row) => row.children > 0).map((row) => row.id));
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
  const at = useMemo(() => (selected === null ? -1 : rows.findIndex((row) => row.id === selected)), [rows, selected]);
  const { from, to, slots, reveal } = useRowWindow(box, rows.length, ROW_PX);

  const toggle = useCallback((id: string) => {
    setCollapsed((old) => {
      const next = new Set(old);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  }, []);

  // What is selected from outside, by a search or the table, is unfolded.
  if (selected !== null && at < 0 && collapsed.size > 0 && layout.rows.some((row) => row.id === selected)) {
    setCollapsed(new Set());
  }

  useEffect(() => {
    if (at >= 0) reveal(at);
  }, [at, reveal]);

  const onKeyDown = (event: KeyboardEvent) => {
    const move = keyMove(event.key, rows, at, collapsed);
    if (move === null) return;
    event.preventDefault();
    if (move.kind === "select") {
      const row = rows[move.index];
      if (row !== undefined) onSelect(row.id);
    } else toggle(move.id);
  };
  const nextError = () => {
    const origins = layout.rows.filter((row) => row.errorOrigin);
    const current = origins.findIndex((row) => row.id === selected);
    const next = origins[(current + 1) % origins.length];
    if (next === undefined) return;
    setCollapsed(new Set());
    onSelect(next.id);
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
        <div role="presentation" className="waterfall__space" style={{ height: rows.length * ROW_PX }}>
          {rows.slice(from, to).map((row, offset) => {
            const index = from + offset;
            return (
              <WaterfallRow
                key={index % slots}
                row={row}
                top={index * ROW_PX}
                durationMs={layout.durationMs}
                color={colorOf(layout.colors, row.service)}
                folded={collapsed.has(row.id)}
                selected={row.id === selected}
                critical={critical?.pieces.get(row.id)}
                match={matches?.has(row.id) ?? false}
                dim={
                  (onlyCritical && critical !== null && !critical.pieces.has(row.id)) ||
                  (matches !== null && !matches.has(row.id))
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
