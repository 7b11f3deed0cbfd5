import type { Incident, Scalar, TimelineEntry } from "../../api/types";
import { clockTime, dayAndTime, measured, offset, plural, signalName, words } from "../../lib/format";
import { timelineMarks } from "../../lib/status";
import { Icon } from "../../ui/Icon";
import { Empty } from "../../ui/States";
import { Value } from "../../ui/Value";

const SHOWN_DATA = 6;
/** Said already: in the title, or in the verdict. */
const SAID = new Set(["action", "attempt", "candidates", "helped", "signal", "before", "after", "unit", "sample_size"]);

/** Identifiers are for machines; what is left are the numbers and reasons. */
function isTelling([key, value]: [string, Scalar]): boolean {
  return value !== null && value !== "" && !SAID.has(key) && !/(^|_)(id|digest|fingerprint)$/.test(key);
}

function shown(value: Scalar): string {
  return typeof value === "number" && !Number.isInteger(value) ? value.toPrecision(3) : String(value);
}

/** What measuring said: before and after, in the unit of the signal. */
function Measured({ data }: { data: TimelineEntry["data"] }) {
  const { signal, before, after, unit, sample_size: sample } = data;
  if (typeof signal !== "string" || typeof unit !== "string") return null;
  const show = (value: number) => measured(value, unit);
  const number = (value: Scalar | undefined) => (typeof value === "number" ? value : null);
  return (
    <p className="event__measured">
      <span className="quiet">{signalName(signal)}</span> <Value of={number(before)} as={show} />{" "}
      <span aria-hidden="true">→</span>
      <span className="sr-only">became</span>{" "}
      <strong>
        <Value of={number(after)} as={show} />
      </strong>
      {typeof sample === "number" && sample > 0 && <span className="quiet"> in {plural(sample, "request")}</span>}
    </p>
  );
}

function Entry({ entry, from }: { entry: TimelineEntry; from: Date }) {
  const mark = timelineMarks[entry.kind];
  const date = new Date(entry.time);
  const data = Object.entries(entry.data).filter(isTelling).slice(0, SHOWN_DATA);
  return (
    <li className={`event event--${mark.tone}`}>
      <span className="event__dot">
        <Icon name={mark.icon} size={14} />
      </span>
      <div className="event__body">
        <p className="event__line">
          <span className={`event__kind status--${mark.tone}`}>{mark.word}</span>
          <span className="event__title">{entry.title}</span>
        </p>
        {entry.detail !== "" && <p className="quiet event__detail">{entry.detail}</p>}
        <Measured data={entry.data} />
        {data.length > 0 && (
          <ul className="chips">
            {data.map(([key, value]) => (
              <li key={key}>
                {words(key).toLowerCase()} <strong>{shown(value)}</strong>
              </li>
            ))}
          </ul>
        )}
      </div>
      <time dateTime={entry.time} className="event__time" title={dayAndTime(date, true)}>
        <strong>{offset(date, from)}</strong>
        <span className="quiet">{clockTime(date, true)}</span>
      </time>
    </li>
  );
}

/** The story, line by line; times count from the first bad second. */
export function Timeline({ incident, entries }: { incident: Incident; entries: TimelineEntry[] }) {
  const from = new Date(incident.first_bad_at);
  if (entries.length === 0) return <Empty icon="plan" title="Nothing has been written down yet" />;
  return (
    <ol className="timeline">
      {entries.map((entry) => (
        <Entry key={entry.id} entry={entry} from={from} />
      ))}
    </ol>
  );
}
