import type { Evidence, Issue } from "../../api/types";
import { duration, measured, signalName } from "../../lib/format";
import { severityMark } from "../../lib/status";
import { Card } from "../../ui/Card";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";
import { TraceLinks } from "./TraceLinks";

function Numbers({ evidence }: { evidence: Evidence }) {
  const show = (value: number) => measured(value, evidence.unit);
  return (
    <dl className="numbers">
      <div>
        <dt>{signalName(evidence.signal)}</dt>
        <dd>
          <Value of={evidence.observed} as={show} />
        </dd>
      </div>
      <div>
        <dt>Threshold</dt>
        <dd>{show(evidence.threshold)}</dd>
      </div>
      {evidence.lower_bound !== null && (
        <div>
          <dt>At least</dt>
          <dd>{show(evidence.lower_bound)}</dd>
        </div>
      )}
      {evidence.baseline !== null && (
        <div>
          <dt>Usually</dt>
          <dd>{show(evidence.baseline)}</dd>
        </div>
      )}
      {evidence.sample_size > 0 && (
        <div>
          <dt>Requests</dt>
          <dd>
            {evidence.sample_size}
            {evidence.window_s > 0 && <span className="quiet"> in {duration(evidence.window_s * 1_000)}</span>}
          </dd>
        </div>
      )}
    </dl>
  );
}

/** What the detectors found, with the numbers that a reader can check. */
export function IssueList({ issues }: { issues: Issue[] }) {
  return (
    <Card title="Issues">
      {issues.length === 0 && <p className="quiet">No issue is on record.</p>}
      <ul className="plain-list">
        {issues.map((issue) => (
          <li key={issue.id} className="issue">
            <p className="run__head">
              <strong>{issue.title}</strong>
              <Status mark={severityMark(issue)} />
            </p>
            <p className="quiet">{issue.description}</p>
            <Numbers evidence={issue.evidence} />
            <TraceLinks ids={issue.evidence.example_trace_ids} />
          </li>
        ))}
      </ul>
    </Card>
  );
}
