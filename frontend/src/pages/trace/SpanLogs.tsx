import { Link } from "react-router";

import { useSpanLogs } from "../../api/traceQueries";
import { clockTime } from "../../lib/format";

const BAD = new Set(["error", "fatal"]);

/** What was logged within the span. */
export function SpanLogs({ traceId, spanId }: { traceId: string; spanId: string }) {
  const query = useSpanLogs(traceId, spanId);
  if (query.isError) return <p className="quiet">Its log records could not be read: {query.error.message}</p>;
  const own = query.data?.entries.filter((entry) => entry.relation === "span") ?? [];
  if (own.length === 0) return null;
  return (
    <details open>
      <summary>
        Logs <span className="quiet">{own.length}</span>
      </summary>
      <ol className="span-logs">
        {own.map(({ record }) => (
          <li key={record.id}>
            <span className={BAD.has(record.severity) ? "status status--bad" : "quiet"}>{record.severity}</span>{" "}
            <span className="quiet">{clockTime(new Date(record.time), true)}</span>
            <p className="mono">{record.body}</p>
          </li>
        ))}
      </ol>
      <Link to={`/logs?trace_id=${traceId}`}>All logs of the trace</Link>
    </details>
  );
}
