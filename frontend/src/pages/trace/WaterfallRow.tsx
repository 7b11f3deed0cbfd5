import { memo, type CSSProperties } from "react";

import { duration } from "../../lib/format";
import { Icon } from "../../ui/Icon";
import type { Piece } from "./critical";
import type { Row } from "./layout";

const INDENTS_MAX = 12; // whatever is deeper starts there
const LABEL_SHARE = 0.13; // of the width, that a label needs beside its bar

const NAME_SHOWN_MAX = 500; // more never fits
const NAME_SAID_MAX = 200; // characters of a name that are read out

interface Props {
  row: Row;
  top: number;
  durationMs: number;
  color: string;
  folded: boolean;
  selected: boolean;
  critical: readonly Piece[] | undefined; // undefined: not on the critical path
  match: boolean;
  dim: boolean;
  onSelect: (id: string) => void;
  onToggle: (id: string) => void;
}

type Place = "after" | "before" | "inside";

function labelStyle(place: Place, left: number, right: number): CSSProperties {
  if (place === "after") return { left: `calc(${right * 100}% + 6px)` };
  return { right: place === "before" ? `calc(${(1 - left) * 100}% + 6px)` : `calc(${(1 - right) * 100}% + 6px)` };
}

interface BarProps {
  row: Row;
  durationMs: number;
  color: string;
  critical: readonly Piece[] | undefined;
}

function Bar({ row, durationMs, color, critical }: BarProps) {
  const total = durationMs > 0 ? durationMs : 1;
  const left = row.startMs / total;
  const width = row.durationMs / total;
  const place = left + width < 1 - LABEL_SHARE ? "after" : left > LABEL_SHARE ? "before" : "inside";
  return (
    <span className="bar">
      <span
        className="bar__fill"
        data-error={row.failed}
        style={{
          left: `${left * 100}%`,
          width: `max(2px, ${width * 100}%)`,
          background: color,
        }}
      />
      {critical?.map((piece) => (
        <span
          key={piece.startMs}
          className="bar__critical"
          style={{ left: `${(piece.startMs / total) * 100}%`, width: `max(1px, ${(piece.durationMs / total) * 100}%)` }}
        />
      ))}
      <span className={`bar__label bar__label--${place}`} style={labelStyle(place, left, left + width)}>
        {duration(row.durationMs)}
      </span>
    </span>
  );
}

/** One span in the waterfall. */
export const WaterfallRow = memo(function WaterfallRow(props: Props) {
  const { row, top, durationMs, color, folded, selected, critical, match, dim, onSelect, onToggle } = props;
  const { id, failed } = row;
  return (
    // Keys are handled by the tree, which has the focus.
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
    <div
      id={`span-${id}`}
      className="wrow"
      data-match={match}
      data-dim={dim}
      role="treeitem"
      aria-level={row.depth + 1}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-selected={selected}
      {...(row.children > 0 ? { "aria-expanded": !folded } : {})}
      aria-label={`${row.service} ${row.name.slice(0, NAME_SAID_MAX)}, ${duration(row.durationMs)}${failed ? ", error" : ""}${row.errorOrigin ? ", began here" : ""}${critical === undefined ? "" : ", on the critical path"}`}
      style={{ top }}
      onClick={() => onSelect(id)}
    >
      <span className="wrow__name" style={{ paddingLeft: `calc(${Math.min(row.depth, INDENTS_MAX)} * var(--indent))` }}>
        {row.children > 0 ? (
          <span
            className="wrow__fold"
            data-open={!folded}
            aria-hidden="true"
            onClick={(event) => {
              event.stopPropagation();
              onToggle(id);
            }}
          />
        ) : (
          <span className="wrow__fold" />
        )}
        <i style={{ background: color }} aria-hidden="true" />
        {failed && (
          <span className={row.errorOrigin ? "wrow__error wrow__error--origin" : "wrow__error"}>
            <Icon name="alert" size={13} />
          </span>
        )}
        <span className="wrow__service">{row.service}</span>
        <span className="wrow__operation">{row.name.slice(0, NAME_SHOWN_MAX)}</span>
        {folded && <span className="wrow__hidden">+{row.descendants}</span>}
      </span>
      <Bar row={row} durationMs={durationMs} color={color} critical={critical} />
    </div>
  );
});
