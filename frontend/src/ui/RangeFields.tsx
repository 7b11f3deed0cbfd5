import { between, pinned, type Range } from "../lib/range";
import { fromLocalInput, toLocalInput } from "../lib/localTime";

const RANGES = [
  { value: "5", text: "Last 5 minutes" },
  { value: "15", text: "Last 15 minutes" },
  { value: "60", text: "Last hour" },
  { value: "360", text: "Last 6 hours" },
  { value: "1440", text: "Last 24 hours" },
  { value: "10080", text: "Last 7 days" },
  { value: "", text: "From … to …" },
];

const USUAL_MS = 900_000;

/** The choice of a time: relative, or from one moment to another. Each field is a child of the form's own row. */
export function RangeFields({ range, onChange }: { range: Range; onChange: (range: Range) => void }) {
  const known = RANGES.some((one) => one.value === range.minutes);
  const choose = (minutes: string) => {
    if (minutes !== "") onChange({ minutes, start: "", end: "" });
    else {
      const now = Date.now();
      const from = pinned(range, now);
      onChange(from.minutes === "" ? from : between(now - USUAL_MS, now));
    }
  };
  return (
    <>
      <label className="field">
        <span>Time</span>
        <select value={range.minutes} onChange={(event) => choose(event.target.value)}>
          {!known && <option value={range.minutes}>Last {range.minutes} minutes</option>}
          {RANGES.map((one) => (
            <option key={one.value} value={one.value}>
              {one.text}
            </option>
          ))}
        </select>
      </label>
      {range.minutes === "" && (
        <>
          <label className="field">
            <span>From</span>
            <input
              type="datetime-local"
              step={1}
              value={toLocalInput(range.start)}
              onChange={(event) => onChange({ ...range, start: fromLocalInput(event.target.value) })}
            />
          </label>
          <label className="field">
            <span>To</span>
            <input
              type="datetime-local"
              step={1}
              value={toLocalInput(range.end)}
              onChange={(event) => onChange({ ...range, end: fromLocalInput(event.target.value) })}
            />
          </label>
        </>
      )}
    </>
  );
}
