import { Link, useParams } from "react-router";

import { ApiError } from "../../api/client";
import { useIncident } from "../../api/queries";
import type { IncidentDetail } from "../../api/types";
import { duration } from "../../lib/format";
import { incidentMarks, severityMark } from "../../lib/status";
import { useNow } from "../../lib/useNow";
import { usePageTitle } from "../../lib/usePageTitle";
import { Card } from "../../ui/Card";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { When } from "../../ui/When";
import { ChangedBefore } from "../events/Context";
import { Actions } from "./Actions";
import { Cause } from "./Cause";
import { IssueList } from "./IssueList";
import { PhaseBar } from "./PhaseBar";
import { PlanCard } from "./PlanCard";
import { Timeline } from "./Timeline";
import "./incident.css";

function outcome(detail: IncidentDetail): string {
  const { incident } = detail;
  if (incident.status === "escalated") return "a person has to look";
  if (incident.status === "open") return "in progress";
  return incident.healed === true ? "healed by a verified action" : "closed by itself";
}

function Head({ detail }: { detail: IncidentDetail }) {
  const { incident } = detail;
  const now = useNow(1_000);
  const end = incident.closed_at === null ? now : new Date(incident.closed_at);
  const lasted = end.getTime() - new Date(incident.first_bad_at).getTime();
  const impact = impactOf(detail);
  return (
    <header className="incident-head">
      <div className="incident-head__marks">
        <Status mark={incidentMarks[incident.status]} strong />
        <Status mark={severityMark(incident)} />
      </div>
      <h1>{incident.title}</h1>
      <dl className="facts">
        <div>
          <dt>Began</dt>
          <dd>
            <When time={incident.first_bad_at} both />
          </dd>
        </div>
        <div>
          <dt>{incident.closed_at === null ? "Lasting" : "Lasted"}</dt>
          <dd>{duration(Math.max(0, lasted))}</dd>
        </div>
        <div>
          <dt>Outcome</dt>
          <dd>{outcome(detail)}</dd>
        </div>
        <div>
          <dt>Affected</dt>
          <dd>{incident.affected_services.length === 0 ? "no service known" : incident.affected_services.join(", ")}</dd>
        </div>
        {impact !== null && (
          <div>
            <dt>Impact</dt>
            <dd>{impact}</dd>
          </div>
        )}
      </dl>
    </header>
  );
}

/** The largest measured extent among the issues; null when nothing was measured. */
function impactOf(detail: IncidentDetail): string | null {
  const rates = detail.issues.flatMap(({ evidence }) =>
    evidence.observed !== null && evidence.sample_size > 0 && evidence.signal === "error_rate"
      ? [{ failed: Math.round(evidence.observed * evidence.sample_size), of: evidence.sample_size }]
      : [],
  );
  const worst = rates.toSorted((a, b) => b.failed - a.failed)[0];
  return worst === undefined ? null : `${worst.failed} of ${worst.of} requests failed in the window that was measured`;
}

function Story({ detail }: { detail: IncidentDetail }) {
  // What waits for a person stands first.
  const waiting = detail.runs.some((run) => run.status === "awaiting_approval");
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs">
        <Link to="/incidents">Incidents</Link> <span aria-hidden="true">/</span>{" "}
        <span className="quiet">{detail.incident.id}</span>
      </nav>
      <Head detail={detail} />
      <PhaseBar detail={detail} />
      {waiting && <Actions runs={detail.runs} />}
      <div className="incident-columns">
        <div className="stack">
          <Card title="What happened">
            <Timeline incident={detail.incident} entries={detail.timeline} />
          </Card>
          <IssueList issues={detail.issues} />
        </div>
        <div className="stack">
          {!waiting && <Actions runs={detail.runs} />}
          <Cause cause={detail.incident.root_cause} />
          <ChangedBefore incidentId={detail.incident.id} />
          {detail.plan !== null && <PlanCard plan={detail.plan} />}
        </div>
      </div>
    </div>
  );
}

/** One incident from its first bad second to the moment when all was put back. */
export default function IncidentPage() {
  const { id = "" } = useParams();
  const query = useIncident(id);
  usePageTitle(query.data?.incident.title ?? "Incident");
  if (query.data !== undefined) return <Story detail={query.data} />;
  if (query.error instanceof ApiError && query.error.status === 404) {
    return (
      <>
        <h1 className="sr-only">Incident not found</h1>
        <Empty icon="search" title="There is no such incident">
          <p>
            <code>{id}</code> is not on record. <Link to="/incidents">All incidents</Link>
          </p>
        </Empty>
      </>
    );
  }
  return (
    <>
      <h1 className="sr-only">Incident</h1>
      {query.isError ? (
        <Failed error={query.error} retry={() => void query.refetch()} />
      ) : (
        <Skeleton height={480} label="Loading the incident" />
      )}
    </>
  );
}
