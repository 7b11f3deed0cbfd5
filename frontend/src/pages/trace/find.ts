/** Looking for a text within a trace. Pure. */

import type { Row } from "./layout";

function says({ span }: Row, wanted: string): boolean {
  const texts = [span.service, span.name, span.span_id, span.status_message, span.kind];
  if (texts.some((text) => text.toLowerCase().includes(wanted))) return true;
  for (const [key, value] of Object.entries(span.attributes)) {
    if (`${key}=${value}`.toLowerCase().includes(wanted)) return true;
  }
  return span.events.some((event) => event.name.toLowerCase().includes(wanted));
}

/** The spans in which the text occurs, in the order of the waterfall; null when nothing is asked for. */
export function findSpans(rows: readonly Row[], text: string): string[] | null {
  const wanted = text.trim().toLowerCase();
  if (wanted === "") return null;
  return rows.filter((row) => says(row, wanted)).map((row) => row.span.span_id);
}

/** The match after (or before) the selected span, around the end. */
export function step(matches: readonly string[], selected: string | null, by: 1 | -1): string | null {
  if (matches.length === 0) return null;
  const at = selected === null ? -1 : matches.indexOf(selected);
  const next = at < 0 ? (by === 1 ? 0 : matches.length - 1) : (at + by + matches.length) % matches.length;
  return matches[next] ?? null;
}
