import { useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";

import { useEvents, type EventAnswer } from "../../api/events";
import { clockTime, dayAndTime, duration, plural } from "../../lib/format";
import { rangeProblem, rangeSeconds, writeRange, type Range } from "../../lib/range";
import { useNow } from "../../lib/useNow";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { RangeFields } from "../../ui/RangeFields";
import { Segments } from "../../ui/Segments";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { When } from "../../ui/When";
import { Context, MutedNote } from "./Context";
import { Lanes } from "./Lanes";
import { Maintenance } from "./Maintenance";
import { eventMark, eventParams, lookFurther, pageOf, readFilter, USUAL_MINUTES } from "./view";
import "./events.css";

const KINDS = [
  { value: "", text: "All" },
  { value: "incident", text: "Incidents" },
  { value: "alert", text: "Alerts" },
  { value: "anomaly", text: "Anomalies" },
  { value: "deployment", text: "Changes" },
] as const;

function lasted({ event, lasting }: EventAnswer, now: Date): string {
  if (lasting) return `for ${duration(Math.max(0, now.getTime() - Date.parse(event.time)))} now`;
  if (event.ended_at === null) return "";
  return `for ${duration(Date.parse(event.ended_at) - Date.parse(event.time))}`;
}

function Row({ answer, now }: { answer: EventAnswer; now: Date }) {
  const [open, setOpen] = useState(false);
  const { event } = answer;
  const to = pageOf(event);
  return (
    <li className="event-row">
      <div className="event-row__when">
        <time dateTime={event.time} title={dayAndTime(new Date(event.time), true)}>
          {clockTime(new Date(event.time))}
        </time>
        <span className="quiet">
          <When time={event.time} />
        </span>
      </div>
      <div className="event-row__kind">
        <Status mark={eventMark(event)} />
        <span className="quiet">{lasted(answer, now)}</span>
      </div>
      <div className="event-row__main">
        <p className="event-row__title">{to === null ? event.title : <Link to={to}>{event.title}</Link>}</p>
        {event.description !== "" && <p className="quiet">{event.description}</p>}
        <p className="event-row__facts quiet">
          {event.services.length > 0 && <strong>{event.services.join(", ")}</strong>}
          <span>from {event.source}</span>
          <Link to={lookFurther(event, "/traces", now.getTime())}>Traces</Link>
          <Link to={lookFurther(event, "/logs", now.getTime())}>Logs</Link>
          <button type="button" className="linklike" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Less" : "What changed before"}
          </button>
        </p>
        {answer.muted_by !== null && <MutedNote window={answer.muted_by} />}
        {open && <Context id={event.id} of="events" />}
      </div>
    </li>
  );
}

/** What happened around the systems, newest first, and the maintenance windows. */
export default function Events() {
  usePageTitle("Events");
  const [address, setAddress] = useSearchParams();
  const text = address.toString();
  const filter = useMemo(() => readFilter(new URLSearchParams(text)), [text]);
  const now = useNow(10_000);
  const problem = rangeProblem(filter.range);
  const query = useEvents(eventParams(filter), problem === null, filter.range.minutes !== "");
  const events = query.data?.events ?? [];
  const seconds = rangeSeconds(filter.range) ?? 0;
  const endMs = filter.range.minutes === "" ? Date.parse(filter.range.end) : now.getTime();

  const set = (key: string, value: string) =>
    setAddress(
      (old) => {
        const next = new URLSearchParams(old);
        if (value === "") next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true },
    );
  const setRange = (range: Range) =>
    setAddress((old) => {
      const next = new URLSearchParams(old);
      writeRange(next, range, USUAL_MINUTES);
      return next;
    });
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Events</h1>
        <span className="quiet" role="status">
          {query.data !== undefined && plural(events.length, "event")}
          {query.data?.more === true && ", there are more: narrow the time"}
        </span>
      </div>
      <div className="card event-filter">
        <Segments label="Kind" options={KINDS} value={KINDS.find((one) => one.value === filter.type)?.value ?? ""} onChange={(value) => set("type", value)} />
        <label className="field">
          <span>Severity</span>
          <select value={filter.severity} onChange={(event) => set("severity", event.target.value)}>
            <option value="">Any</option>
            <option value="critical">Critical</option>
            <option value="warning">Warning</option>
            <option value="info">Info</option>
          </select>
        </label>
        <label className="field">
          <span>Service</span>
          <input value={filter.service} placeholder="any" onChange={(event) => set("service", event.target.value)} />
        </label>
        <label className="field">
          <span>Words</span>
          <input type="search" value={filter.text} placeholder="in title or description" onChange={(event) => set("q", event.target.value)} />
        </label>
        <RangeFields range={filter.range} onChange={setRange} />
        {problem !== null && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
      </div>
      <div className="event-columns">
        <div className="card event-card">
          {query.isPending && query.isFetching && <Skeleton height={420} label="Loading the events" />}
          {query.isError && query.data === undefined && <Failed error={query.error} retry={() => void query.refetch()} />}
          {events.length > 0 && (
            <>
              <Lanes events={events} startMs={endMs - seconds * 1_000} endMs={endMs} />
              <ol aria-label="Events, newest first">
                {events.map((answer) => (
                  <Row key={answer.event.id} answer={answer} now={now} />
                ))}
              </ol>
            </>
          )}
          {query.data !== undefined && events.length === 0 && (
            <Empty icon="check" title="Nothing happened in this time">
              <p>
                Incidents, alerts, anomalies and changes are told here. Tell of a deployment with{" "}
                <code>POST /api/events</code>, or let Homeostat see <code>service.version</code> change.
              </p>
              {filter.text !== "" && <Button onClick={() => set("q", "")}>Forget the words</Button>}
            </Empty>
          )}
        </div>
        <Maintenance />
      </div>
    </div>
  );
}
