import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { Link, useSearchParams } from "react-router";

import { useIncidents } from "../../api/queries";
import type { Incident } from "../../api/types";
import { dayAndTime, duration } from "../../lib/format";
import { incidentMarks, severityMark } from "../../lib/status";
import { useNow } from "../../lib/useNow";
import { usePageTitle } from "../../lib/usePageTitle";
import { Segments } from "../../ui/Segments";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { When } from "../../ui/When";
import { countByStatus, filterIncidents, statusFilter, type StatusFilter } from "./filter";
import "./incidents.css";

const ROW_PX = 76;

function Outcome({ incident, now }: { incident: Incident; now: Date }) {
  const end = incident.closed_at === null ? now : new Date(incident.closed_at);
  const lasted = duration(Math.max(0, end.getTime() - new Date(incident.first_bad_at).getTime()));
  if (incident.status !== "closed") return <>for {lasted}</>;
  return (
    <>
      {incident.healed === true ? "healed" : "closed by itself"} after {lasted}
    </>
  );
}

function Row({ incident, now }: { incident: Incident; now: Date }) {
  return (
    <article className="incident-row">
      <div className="incident-row__main">
        <Link to={`/incidents/${incident.id}`} className="incident-row__title">
          {incident.title}
        </Link>
        <p className="quiet incident-row__cause">
          {incident.root_cause === null ? "Cause not known yet" : `Cause: ${incident.root_cause.resource}`}
          {incident.affected_services.length > 0 && ` · affects ${incident.affected_services.join(", ")}`}
        </p>
      </div>
      <div className="incident-row__marks">
        <Status mark={incidentMarks[incident.status]} />
        <Status mark={severityMark(incident)} />
      </div>
      <div className="incident-row__times">
        <span title={dayAndTime(new Date(incident.opened_at))}>
          <When time={incident.opened_at} />
        </span>
        <span className="quiet">
          <Outcome incident={incident} now={now} />
        </span>
      </div>
    </article>
  );
}

function List({ incidents }: { incidents: Incident[] }) {
  const box = useRef<HTMLDivElement>(null);
  const now = useNow(1_000);
  const rows = useVirtualizer({
    count: incidents.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 8,
    getItemKey: (index) => incidents[index]?.id ?? index,
  });
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div ref={box} className="incident-list" tabIndex={0} role="region" aria-label="Incidents, newest first">
      <ul style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const incident = incidents[item.index];
          return incident === undefined ? null : (
            <li
              key={item.key}
              ref={rows.measureElement}
              data-index={item.index}
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <Row incident={incident} now={now} />
            </li>
          );
        })}
      </ul>
    </div>
  );
}

const OPTIONS: readonly { value: StatusFilter; text: string }[] = [
  { value: "all", text: "All" },
  { value: "open", text: "Open" },
  { value: "escalated", text: "Needs a person" },
  { value: "closed", text: "Closed" },
];

/** Every incident, newest first. The filter stands in the address. */
export default function Incidents() {
  usePageTitle("Incidents");
  const [params, setParams] = useSearchParams();
  const query = useIncidents(false);
  const status = statusFilter(params.get("status"));
  const words = params.get("q") ?? "";
  const all = query.data;
  const shown = useMemo(() => filterIncidents(all ?? [], status, words), [all, status, words]);
  const counts = useMemo(() => countByStatus(all ?? []), [all]);

  const set = (key: string, value: string) =>
    setParams(
      (old) => {
        const next = new URLSearchParams(old);
        if (value === "" || value === "all") next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true },
    );
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Incidents</h1>
      </div>
      <div className="controls incident-filter">
        <Segments
          label="Status"
          options={OPTIONS.map((option) => ({ ...option, count: all === undefined ? undefined : counts[option.value] }))}
          value={status}
          onChange={(value) => set("status", value)}
        />
        <input
          type="search"
          aria-label="Filter by title, cause or service"
          placeholder="Filter by title, cause or service"
          value={words}
          onChange={(event) => set("q", event.target.value)}
        />
      </div>
      <div className="card incident-card">
        {query.isPending && <Skeleton height={320} label="Loading the incidents" />}
        {query.isError && all === undefined && <Failed error={query.error} retry={() => void query.refetch()} />}
        {shown.length > 0 && <List incidents={shown} />}
        {all?.length === 0 && (
          <Empty icon="check" title="No incident so far">
            <p>When something goes wrong, its story is told here: the fault, what was done, and whether it helped.</p>
          </Empty>
        )}
        {all !== undefined && all.length > 0 && shown.length === 0 && (
          <Empty icon="search" title="No incident fits this filter" />
        )}
      </div>
    </div>
  );
}
