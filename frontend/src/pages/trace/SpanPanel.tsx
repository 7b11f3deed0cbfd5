import { Link } from "react-router";

import { dayAndTime, duration, offset } from "../../lib/format";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/Icon";
import { Value } from "../../ui/Value";
import type { Row } from "./layout";
import { SpanLogs } from "./SpanLogs";

function Pairs({ title, of }: { title: string; of: Record<string, string> }) {
  const pairs = Object.entries(of).sort(([a], [b]) => a.localeCompare(b));
  if (pairs.length === 0) return null;
  return (
    <details open={title === "Attributes"}>
      <summary>
        {title} <span className="quiet">{pairs.length}</span>
      </summary>
      <dl className="pairs">
        {pairs.map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{value === "" ? <span className="quiet">empty</span> : value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function Events({ row }: { row: Row }) {
  const { events, start } = row.span;
  if (events.length === 0) return null;
  return (
    <details open>
      <summary>
        Events <span className="quiet">{events.length}</span>
      </summary>
      <ol className="span-events">
        {events.map((event, index) => (
          <li key={`${event.time} ${index}`}>
            <p>
              <strong>{event.name}</strong> <span className="quiet">{offset(new Date(event.time), new Date(start))}</span>
            </p>
            <dl className="pairs">
              {Object.entries(event.attributes).map(([key, value]) => (
                <div key={key}>
                  <dt>{key}</dt>
                  <dd>{value}</dd>
                </div>
              ))}
            </dl>
          </li>
        ))}
      </ol>
    </details>
  );
}

/** All that is known about one span. */
export function SpanPanel({ row, criticalMs, onClose }: { row: Row; criticalMs: number | null; onClose: () => void }) {
  const { span } = row;
  return (
    <aside className="card span-panel" aria-label="Span">
      <header>
        <div>
          <h2>{span.name}</h2>
          <p className="quiet">{span.service}</p>
        </div>
        <Button look="quiet" aria-label="Close the span" onClick={onClose}>
          <Icon name="cross" />
        </Button>
      </header>
      {span.status === "error" && (
        <p className="span-panel__error">
          <Icon name="alert" size={14} />
          <span>
            <strong>{row.errorOrigin ? "The error began here" : "Error, handed on from below"}</strong>
            {span.status_message !== "" && <>: {span.status_message}</>}
          </span>
        </p>
      )}
      <dl className="span-panel__facts">
        <div>
          <dt>Duration</dt>
          <dd>{duration(span.duration_ms)}</dd>
        </div>
        <div>
          <dt>In itself</dt>
          <dd>{duration(row.selfMs)}</dd>
        </div>
        <div>
          <dt>Critical</dt>
          <dd>
            <Value of={criticalMs} as={duration} />
          </dd>
        </div>
        <div>
          <dt>Starts at</dt>
          <dd>+{duration(row.startMs)}</dd>
        </div>
        <div>
          <dt>Kind</dt>
          <dd>{span.kind}</dd>
        </div>
      </dl>
      <p className="quiet">{dayAndTime(new Date(span.start), true)}</p>
      {row.orphan && <p className="quiet">Its parent span is not stored (not sent, or not yet).</p>}
      <Pairs title="Attributes" of={span.attributes} />
      <Events row={row} />
      <SpanLogs traceId={span.trace_id} spanId={span.span_id} />
      <Pairs title="Resource" of={span.resource} />
      {span.links.length > 0 && (
        <details open>
          <summary>
            Links <span className="quiet">{span.links.length}</span>
          </summary>
          <ul>
            {span.links.map((link) => (
              <li key={`${link.trace_id}${link.span_id}`}>
                <Link to={`/traces/${link.trace_id}?span=${link.span_id}`} className="mono">
                  {link.trace_id}
                </Link>
              </li>
            ))}
          </ul>
        </details>
      )}
      <p className="span-panel__id">
        <span className="quiet">Span</span> <code>{span.span_id}</code>
        <CopyButton text={span.span_id} />
      </p>
      {span.scope !== "" && (
        <p className="quiet">
          Scope <code>{span.scope}</code>
        </p>
      )}
    </aside>
  );
}
