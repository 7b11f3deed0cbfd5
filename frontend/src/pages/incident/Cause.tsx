import { Link } from "react-router";

import type { RootCause } from "../../api/types";
import { percent } from "../../lib/format";
import { Card } from "../../ui/Card";
import { TraceLinks } from "./TraceLinks";

function Share({ label, value }: { label: string; value: number | null }) {
  if (value === null) return null;
  return (
    <div className="share">
      <span>{label}</span>
      <span className="share__track" aria-hidden="true">
        <span style={{ width: `${Math.round(value * 100)}%` }} />
      </span>
      <strong>{percent(value)}</strong>
    </div>
  );
}

/** Where it comes from, and how one knows. */
export function Cause({ cause }: { cause: RootCause | null }) {
  if (cause === null) {
    return (
      <Card title="Root cause">
        <p className="quiet">Not known: there was not enough evidence to name one.</p>
      </Card>
    );
  }
  const [kind, name = ""] = cause.resource.split(/:(.*)/s);
  return (
    <Card title="Root cause">
      <div className="cause">
        <p>
          {kind === "service" ? (
            <Link to={`/traces?service=${encodeURIComponent(name)}&errors_only=true`}>
              <code>{cause.resource}</code>
            </Link>
          ) : (
            <code>{cause.resource}</code>
          )}
        </p>
        <p>{cause.reason}</p>
        <Share label="Confidence" value={cause.confidence} />
        <Share label="Errors that began here" value={cause.self_error_share} />
        <Share label="Time that was spent here" value={cause.self_time_share} />
        {cause.evidence.length > 0 && (
          <ul className="bullets quiet">
            {cause.evidence.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        )}
        <TraceLinks ids={cause.example_trace_ids} />
      </div>
    </Card>
  );
}
