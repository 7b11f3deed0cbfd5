/** Looking for a text within a trace. Pure. */

import type { Row } from "./layout";

function says(row: Row, wanted: string): boolean {
  return [row.service, row.name, row.id, row.kind].some((text) => text.toLowerCase().includes(wanted));
}

/**
 * The spans in which the text occurs, in the order of the waterfall; null when nothing is asked for. `others`: what
 * the server found in attributes and events, once it has answered.
 */
export function findSpans(rows: readonly Row[], text: string, others: readonly string[] = []): string[] | null {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return null;
  const also = new Set(others);
  return rows.filter((row) => also.has(row.id) || says(row, wanted)).map((row) => row.id);
}

/** The match after (or before) the selected span, around the end. */
export function step(matches: readonly string[], selected: string | null, by: 1 | -1): string | null {
  if (matches.length === 0) return null;
  const at = selected === null ? -1 : matches.indexOf(selected);
  const next = at < 0 ? (by === 1 ? 0 : matches.length - 1) : (at + by + matches.length) % matches.length;
  return matches[next] ?? null;
}

/** How the search in what only the server has goes. */
export type Searching = "done" | "pending" | "failed";

/** What was found. None is only said to be when all places were searched. */
export function foundText(found: number | null, at: number, server: Searching): string {
  if (found === null) return "";
  const place = `${at === 0 ? "" : `${at} of `}${found}`;
  if (server === "done") return found === 0 ? "no span" : place;
  if (server === "pending") return found === 0 ? "searching …" : `${place}, searching …`;
  return found === 0 ? "attributes not searched" : `${place}, attributes not searched`;
}
