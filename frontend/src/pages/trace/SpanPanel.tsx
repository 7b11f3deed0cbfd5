import { useState } from "react";
import { Link } from "react-router";

import { useSpan } from "../../api/traceColumns";
import type { Span } from "../../api/types";
import { dayAndTime, duration, grouped, offset } from "../../lib/format";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/Icon";
import { Failed, Skeleton } from "../../ui/States";
import { Value } from "../../ui/Value";
import type { Row } from "./layout";
import { SpanLogs } from "./SpanLogs";

const PAIRS_FIRST = 60;
const TEXT_FIRST = 600; // characters of a value, or of the name, before it is asked for in full

/** A text of which only the beginning is shown while it is very long. */
function LongText({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  if (text.length <= TEXT_FIRST || whole) return <bdi>{text}</bdi>;
  return (
    <>
      <bdi>{text.slice(0, TEXT_FIRST)} …</bdi>{" "}
      <button type="button" className="link-button" onClick={() => setWhole(true)}>
        all {grouped(text.length)} characters
      </button>
    </>
  );
}

function PairList({ pairs }: { pairs: readonly [string, string][] }) {
  const [all, setAll] = useState(false);
  const shown = all ? pairs : pairs.slice(0, PAIRS_FIRST);
  return (
    <>
      <dl className="pairs">
        {shown.map(([key, value]) => (
          <div key={key}>
            <dt>
              <LongText text={key} />
            </dt>
            <dd>{value === "" ? <span className="quiet">empty</span> : <LongText text={value} />}</dd>
          </div>
        ))}
      </dl>
      {shown.length < pairs.length && (
        <Button look="quiet" onClick={() => setAll(true)}>
          Show all {grouped(pairs.length)}
        </Button>
      )}
    </>
  );
}

function Pairs({ title, of }: { title: string; of: Record<string, string> }) {
  const pairs = Object.entries(of).sort(([a], [b]) => a.localeCompare(b));
  if (pairs.length === 0) return null;
  return (
    <details open={title === "Attributes"}>
      <summary>
        {title} <span className="quiet">{grouped(pairs.length)}</span>
      </summary>
      <PairList pairs={pairs} />
    </details>
  );
}

function Events({ span }: { span: Span }) {
  const [all, setAll] = useState(false);
  const { events, start } = span;
  if (events.length === 0) return null;
  const shown = all ? events : events.slice(0, PAIRS_FIRST);
  return (
    <details open>
      <summary>
        Events <span className="quiet">{grouped(events.length)}</span>
      </summary>
      <ol className="span-events">
        {shown.map((event, index) => (
          <li key={`${event.time} ${index}`}>
            <p>
              <strong>
                <LongText text={event.name} />
              </strong>{" "}
              <span className="quiet">{offset(new Date(event.time), new Date(start))}</span>
            </p>
            <PairList pairs={Object.entries(event.attributes)} />
          </li>
        ))}
      </ol>
      {shown.length < events.length && (
        <Button look="quiet" onClick={() => setAll(true)}>
          Show all {grouped(events.length)}
        </Button>
      )}
    </details>
  );
}

function Links({ span }: { span: Span }) {
  if (span.links.length === 0) return null;
  return (
    <details open>
      <summary>
        Links <span className="quiet">{span.links.length}</span>
      </summary>
      <ul>
        {span.links.slice(0, PAIRS_FIRST).map((link, index) => (
          <li key={`${link.trace_id}${link.span_id} ${index}`}>
            <Link to={`/traces/${link.trace_id}?span=${link.span_id}`} className="mono">
              {link.trace_id}
            </Link>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Facts({ row, criticalMs }: { row: Row; criticalMs: number | null }) {
  return (
    <dl className="span-panel__facts">
      <div>
        <dt>Duration</dt>
        <dd>{duration(row.durationMs)}</dd>
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
        <dd>{row.kind}</dd>
      </div>
    </dl>
  );
}

interface Props {
  traceId: string;
  row: Row;
  criticalMs: number | null;
  shiftMs: number; // added to its clock for display
  onClose: () => void;
}

/** All that is known about one span. What only it has is asked for when it is chosen. */
export function SpanPanel({ traceId, row, criticalMs, shiftMs, onClose }: Props) {
  const query = useSpan(traceId, row.id);
  const span = query.data;
  return (
    <aside className="card span-panel" aria-label="Span">
      <header>
        <div>
          <h2>
            <LongText text={row.name} />
          </h2>
          <p className="quiet">
            <bdi>{row.service}</bdi>
          </p>
        </div>
        <Button look="quiet" aria-label="Close the span" onClick={onClose}>
          <Icon name="cross" />
        </Button>
      </header>
      {row.failed && (
        <p className="span-panel__error">
          <Icon name="alert" size={14} />
          <span>
            <strong>{row.errorOrigin ? "The error began here" : "Error, handed on from below"}</strong>
            {span !== undefined && span.status_message !== "" && (
              <>
                : <LongText text={span.status_message} />
              </>
            )}
          </span>
        </p>
      )}
      <Facts row={row} criticalMs={criticalMs} />
      {span !== undefined && <p className="quiet">{dayAndTime(new Date(span.start), true)}</p>}
      {shiftMs !== 0 && (
        <p className="quiet">
          Its clock contradicts its parent&apos;s: it is shown {duration(Math.abs(shiftMs))} {shiftMs > 0 ? "later" : "earlier"} than it said.
        </p>
      )}
      {row.loose === "orphan" && <p className="quiet">Its parent span is not stored (not sent, or not yet).</p>}
      {row.loose === "ring" && <p className="quiet">It is among its own ancestors: the circle is shown cut open here.</p>}
      {span === undefined && query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
      {span === undefined && !query.isError && <Skeleton height={120} label="Loading the span" />}
      {span !== undefined && (
        <>
          <Pairs title="Attributes" of={span.attributes} />
          {span.dropped_attributes !== null && span.dropped_attributes > 0 && (
            <p className="quiet">
              {grouped(span.dropped_attributes)} more {span.dropped_attributes === 1 ? "is" : "are"} not here: cut
              off by the sender or at intake.
            </p>
          )}
          <Events span={span} />
          <SpanLogs traceId={traceId} spanId={row.id} />
          <Pairs title="Resource" of={span.resource} />
          <Links span={span} />
        </>
      )}
      <p className="span-panel__id">
        <span className="quiet">Span</span> <code>{row.id}</code>
        <CopyButton text={row.id} />
      </p>
      {span !== undefined && span.scope !== "" && (
        <p className="quiet">
          Scope <code>{span.scope}</code>
        </p>
      )}
    </aside>
  );
}
