/** What a key does in the waterfall, after the tree pattern of the ARIA Authoring Practices. */

import type { Row } from "./layout";

export type Move = { kind: "select"; index: number } | { kind: "collapse"; id: string } | { kind: "expand"; id: string };

const PAGE_ROWS = 12;

function parentIndex(rows: readonly Row[], index: number): number {
  const depth = rows[index]?.depth ?? 0;
  for (let above = index - 1; above >= 0; above -= 1) if ((rows[above]?.depth ?? 0) < depth) return above;
  return index;
}

export function keyMove(key: string, rows: readonly Row[], at: number, collapsed: ReadonlySet<string>): Move | null {
  const row = rows[at];
  if (row === undefined) return rows.length > 0 ? { kind: "select", index: 0 } : null;
  const id = row.id;
  const folded = collapsed.has(id);
  const last = rows.length - 1;
  switch (key) {
    case "ArrowDown":
      return { kind: "select", index: Math.min(last, at + 1) };
    case "ArrowUp":
      return { kind: "select", index: Math.max(0, at - 1) };
    case "PageDown":
      return { kind: "select", index: Math.min(last, at + PAGE_ROWS) };
    case "PageUp":
      return { kind: "select", index: Math.max(0, at - PAGE_ROWS) };
    case "Home":
      return { kind: "select", index: 0 };
    case "End":
      return { kind: "select", index: last };
    case "ArrowRight":
      if (row.children === 0) return null;
      return folded ? { kind: "expand", id } : { kind: "select", index: at + 1 };
    case "ArrowLeft":
      if (row.children > 0 && !folded) return { kind: "collapse", id };
      return { kind: "select", index: parentIndex(rows, at) };
    default:
      return null;
  }
}
