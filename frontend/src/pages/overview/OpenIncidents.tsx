import { Link } from "react-router";

import { useIncidents } from "../../api/queries";
import { incidentMarks } from "../../lib/status";
import { Card } from "../../ui/Card";
import { Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { When } from "../../ui/When";

const SHOWN = 6;

/** What is wrong right now. */
export function OpenIncidents() {
  const incidents = useIncidents(true);
  const open = incidents.data ?? [];
  return (
    <Card title="Open incidents" aside={<Link to="/incidents">All incidents</Link>}>
      {incidents.isPending && <Skeleton height={21} label="Loading the incidents" />}
      {incidents.isError && incidents.data === undefined && <Failed error={incidents.error} />}
      {incidents.data !== undefined && open.length === 0 && <p className="quiet">Nothing is open.</p>}
      {open.length > 0 && (
        <ul className="plain-list">
          {open.slice(0, SHOWN).map((incident) => (
            <li key={incident.id} className="open-incident">
              <Link to={`/incidents/${incident.id}`}>{incident.title}</Link>
              <span className="open-incident__line">
                <Status mark={incidentMarks[incident.status]} />
                <span className="quiet">
                  since <When time={incident.opened_at} />
                </span>
              </span>
            </li>
          ))}
        </ul>
      )}
      {open.length > SHOWN && <p className="quiet">and {open.length - SHOWN} more</p>}
    </Card>
  );
}
