import { Link } from "react-router";

import { useEventContext, type EventContext, type MaintenanceWindow, type RankedChange, type SystemEvent } from "../../api/events";
import { clockTime, dayAndTime, duration } from "../../lib/format";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { eventMark, pageOf } from "./view";
import "./events.css";

function Change({ change }: { change: RankedChange }) {
  return (
    <li className="change">
      <Status mark={eventMark(change.event)} />
      <div>
        <strong>{change.event.title}</strong>
        <p className="quiet">
          <time dateTime={change.event.time} title={dayAndTime(new Date(change.event.time))}>
            {duration(change.age_s * 1_000)} before
          </time>{" "}
          · {change.why}
        </p>
      </div>
      <span className="change__score" title="A ranking to start from, not a probability">
        <span style={{ width: `${Math.max(2, change.score * 100)}%` }} />
        <span className="sr-only">score {change.score.toFixed(2)}</span>
      </span>
    </li>
  );
}

function Other({ event }: { event: SystemEvent }) {
  const to = pageOf(event);
  return (
    <li className="change change--short">
      <Status mark={eventMark(event)} />
      <div>{to === null ? event.title : <Link to={to}>{event.title}</Link>}</div>
      <time className="quiet" dateTime={event.time} title={dayAndTime(new Date(event.time))}>
        {clockTime(new Date(event.time))}
      </time>
    </li>
  );
}

export function MutedNote({ window }: { window: MaintenanceWindow }) {
  return (
    <p className="maintenance-note">
      <Icon name="wrench" size={14} /> In maintenance until {dayAndTime(new Date(window.end)).slice(0, -3)}: {window.reason}{" "}
      <span className="quiet">({window.created_by})</span>
    </p>
  );
}

/** What changed before, who else is touched, and what happened around: the body, for a card or a row. */
export function ContextBody({ context }: { context: EventContext }) {
  const callers = context.affected.filter((one) => one.hops > 0);
  return (
    <div className="event-context">
      {context.maintenance.map((window) => (
        <MutedNote key={window.id} window={window} />
      ))}
      <h3>What changed before</h3>
      {context.changes.length === 0 ? (
        <p className="quiet">No deployment, flag, configuration or scaling change is known in the six hours before.</p>
      ) : (
        <ol>
          {context.changes.map((change) => (
            <Change key={change.event.id} change={change} />
          ))}
        </ol>
      )}
      {callers.length > 0 && (
        <p>
          <span className="quiet">Calls what is in trouble:</span>{" "}
          {callers.map((one) => `${one.service} (${one.hops} ${one.hops === 1 ? "call" : "calls"} away)`).join(", ")}
        </p>
      )}
      {context.around.length > 0 && (
        <>
          <h3>At the same time</h3>
          <ul>
            {context.around.slice(0, 12).map((event) => (
              <Other key={event.id} event={event} />
            ))}
          </ul>
        </>
      )}
      {context.traces.length > 0 && (
        <p>
          <span className="quiet">Traces that show it:</span>{" "}
          {context.traces.slice(0, 6).map((id) => (
            <Link key={id} to={`/traces/${id}`} className="event-context__trace">
              <code>{id.slice(0, 12)}…</code>
            </Link>
          ))}
        </p>
      )}
    </div>
  );
}

/** The context of an event or an incident, fetched. */
export function Context({ id, of }: { id: string; of: "events" | "incidents" }) {
  const query = useEventContext(id, of);
  if (query.data !== undefined) return <ContextBody context={query.data} />;
  if (query.isError) return <Failed error={query.error} retry={() => void query.refetch()} />;
  return <Skeleton height={96} label="Looking for what changed before" />;
}

/** The card on the page of an incident. */
export function ChangedBefore({ incidentId }: { incidentId: string }) {
  return (
    <Card title="Around it" aside={<Link to="/events">Timeline</Link>}>
      <Context id={incidentId} of="incidents" />
    </Card>
  );
}
