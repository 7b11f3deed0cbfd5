import { Link } from "react-router";

import { useTimeline } from "../../api/queries";
import type { TimelineEntry } from "../../api/types";
import { clockTime, dayAndTime } from "../../lib/format";
import { timelineMarks } from "../../lib/status";
import { Card } from "../../ui/Card";
import { Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";

const SHOWN = 12;

function Line({ entry }: { entry: TimelineEntry }) {
  const date = new Date(entry.time);
  return (
    <li className="activity">
      <time dateTime={entry.time} title={dayAndTime(date, true)} className="quiet">
        {clockTime(date)}
      </time>
      <Status mark={timelineMarks[entry.kind]} />
      <span className="activity__title">
        {entry.incident_id === null ? entry.title : <Link to={`/incidents/${entry.incident_id}`}>{entry.title}</Link>}
      </span>
    </li>
  );
}

/** What happened last, newest first. */
export function Activity() {
  const timeline = useTimeline();
  const newest = timeline.data?.slice(-SHOWN).reverse() ?? [];
  return (
    <Card title="Activity" aside={<span className="quiet">last hour</span>}>
      {timeline.isPending && <Skeleton height={120} label="Loading the activity" />}
      {timeline.isError && timeline.data === undefined && <Failed error={timeline.error} />}
      {timeline.data !== undefined && newest.length === 0 && (
        <p className="quiet">Nothing had to be done in the last hour.</p>
      )}
      <ol className="plain-list">
        {newest.map((entry) => (
          <Line key={entry.id} entry={entry} />
        ))}
      </ol>
    </Card>
  );
}
