import { useState } from "react";
import { Link } from "react-router";

import { useLogContext, type LogContext, type LogRecord } from "../../api/logs";
import { clockTime, dayAndTime } from "../../lib/format";
import { Button } from "../../ui/Button";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/Icon";
import { Failed, Skeleton } from "../../ui/States";
import { When } from "../../ui/When";
import { severityTones } from "./search";

const RELATIONS: Record<LogContext["entries"][number]["relation"], string> = {
  span: "this span",
  trace: "this trace",
  service: "same service",
};

function Pairs({ title, pairs, onFilter }: { title: string; pairs: Record<string, string>; onFilter: (pair: string) => void }) {
  const entries = Object.entries(pairs);
  if (entries.length === 0) return null;
  return (
    <section className="log-pairs">
      <h3>{title}</h3>
      <dl>
        {entries.map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>
              <span>{value}</span>
              <button type="button" className="linklike" onClick={() => onFilter(`${key}=${value}`)} aria-label={`Only records with ${key} = ${value}`}>
                only these
              </button>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** What was said around a record: in its span, its trace, and by its service at the time. */
function Around({ record }: { record: LogRecord }) {
  const around = useLogContext(
    record.trace_id === null
      ? { service: record.service, time: record.time }
      : { trace_id: record.trace_id, span_id: record.span_id },
  );
  if (around.isPending) return <Skeleton height={120} label="Loading the records around" />;
  if (around.isError) return <Failed error={around.error} retry={() => void around.refetch()} />;
  return (
    <section className="log-around" aria-label="Records around it">
      <ol>
        {around.data.entries.map(({ relation, record: one }) => (
          <li key={one.id} aria-current={one.id === record.id ? "true" : undefined}>
            <time dateTime={one.time}>{clockTime(new Date(one.time), true)}</time>
            <span className="log-around__relation">{one.id === record.id ? "this record" : RELATIONS[relation]}</span>
            <span className={`log-row__severity status--${severityTones[one.severity]}`}>{one.severity}</span>
            <span className="log-around__body">
              {one.service !== record.service && <strong>{one.service} </strong>}
              {one.body}
            </span>
          </li>
        ))}
      </ol>
      {around.data.notes.map((note) => (
        <p key={note} className="quiet">
          {note}
        </p>
      ))}
    </section>
  );
}

/** A record in full, with the ways on from it. */
export function Detail({ record, onFilter }: { record: LogRecord; onFilter: (pair: string) => void }) {
  const [around, setAround] = useState(false);
  return (
    <div className="log-detail">
      <pre className="log-detail__body">{record.body}</pre>
      <div className="controls">
        {record.trace_id !== null && (
          <Link className="button button--plain" to={`/traces/${record.trace_id}${record.span_id === null ? "" : `?span=${record.span_id}`}`}>
            Its trace
          </Link>
        )}
        {record.trace_id !== null && (
          <Link className="button button--plain" to={`/logs?trace_id=${record.trace_id}`}>
            Records of the trace
          </Link>
        )}
        <Button aria-expanded={around} onClick={() => setAround(!around)}>
          <Icon name="eye" size={14} /> Around it
        </Button>
        <CopyButton text={JSON.stringify(record, null, 2)} label="Copy as JSON" />
        <span className="quiet">
          {dayAndTime(new Date(record.time), true)} · <When time={record.time} />
        </span>
      </div>
      {around && <Around record={record} />}
      <div className="log-detail__pairs">
        <Pairs title="Attributes" pairs={record.attributes} onFilter={onFilter} />
        <Pairs title="Resource" pairs={record.resource} onFilter={onFilter} />
      </div>
      {record.scope !== "" && <p className="quiet">Logger: {record.scope}</p>}
    </div>
  );
}
