import { ago, dayAndTime } from "../lib/format";
import { useNow } from "../lib/useNow";

/** A moment, both ways: how long ago, and when exactly. */
export function When({ time, both = false }: { time: string; both?: boolean }) {
  const now = useNow(1_000);
  const date = new Date(time);
  const absolute = dayAndTime(date);
  return (
    <time dateTime={time} title={absolute}>
      {ago(date, now)}
      {both && <span className="quiet"> · {absolute}</span>}
    </time>
  );
}
