/** Moments as a field of the type datetime-local takes them. */

/** ISO, UTC -> what an input of the type datetime-local shows (local time, to the second). */
export function toLocalInput(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return "";
  const date = new Date(time);
  return new Date(time - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** And back; "" for what is no time. */
export function fromLocalInput(local: string): string {
  const time = Date.parse(local);
  return Number.isNaN(time) ? "" : new Date(time).toISOString();
}
