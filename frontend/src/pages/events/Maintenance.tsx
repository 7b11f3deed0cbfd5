import { useState } from "react";

import { useChangeMaintenance, useMaintenance, type MaintenanceWindow } from "../../api/events";
import { useOverview } from "../../api/queries";
import { dayAndTime, duration } from "../../lib/format";
import { recall, remember } from "../../lib/storage";
import { useNow } from "../../lib/useNow";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { Failed } from "../../ui/States";

const LENGTHS = [
  { value: 15, text: "15 minutes" },
  { value: 60, text: "1 hour" },
  { value: 240, text: "4 hours" },
  { value: 1_440, text: "1 day" },
];

function One({ window }: { window: MaintenanceWindow }) {
  const change = useChangeMaintenance();
  const now = useNow(10_000);
  const begun = Date.parse(window.start) <= now.getTime();
  return (
    <li className="window">
      <div>
        <strong>{window.reason}</strong>
        <p className="quiet">
          {window.services.length === 0 ? "all services" : window.services.join(", ")}
          {window.alerts.length > 0 && ` · only the alerts ${window.alerts.join(", ")}`} · {window.created_by}
          <br />
          {begun
            ? `${duration(Math.max(0, Date.parse(window.end) - now.getTime()))} left, until ${dayAndTime(new Date(window.end)).slice(0, -3)}`
            : `from ${dayAndTime(new Date(window.start)).slice(0, -3)}`}
        </p>
        {change.isError && (
          <p className="problem" role="alert">
            {change.error.message}
          </p>
        )}
      </div>
      {window.source === "alertmanager" ? (
        <span className="quiet">a silence: end it in the Alertmanager</span>
      ) : (
        <Button disabled={change.isPending} onClick={() => change.mutate({ kind: "end", id: window.id })}>
          End it
        </Button>
      )}
    </li>
  );
}

function Begin({ onDone }: { onDone: () => void }) {
  const change = useChangeMaintenance();
  const overview = useOverview();
  const [reason, setReason] = useState("");
  const [who, setWho] = useState(() => recall("who") ?? "");
  const [minutes, setMinutes] = useState(60);
  const [service, setService] = useState("");
  return (
    <form
      className="window-form"
      onSubmit={(event) => {
        event.preventDefault();
        remember("who", who.trim());
        const window = { reason: reason.trim(), who: who.trim(), minutes, services: service === "" ? [] : [service] };
        change.mutate({ kind: "begin", window }, { onSuccess: onDone });
      }}
    >
      <label className="field">
        <span>Service</span>
        <select value={service} onChange={(event) => setService(event.target.value)}>
          <option value="">All services</option>
          {overview.data?.services.map((one) => (
            <option key={one.service}>{one.service}</option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>For</span>
        <select value={minutes} onChange={(event) => setMinutes(Number(event.target.value))}>
          {LENGTHS.map((one) => (
            <option key={one.value} value={one.value}>
              {one.text}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>Reason</span>
        <input required maxLength={500} value={reason} onChange={(event) => setReason(event.target.value)} />
      </label>
      <label className="field">
        <span>Your name</span>
        <input required maxLength={200} autoComplete="name" value={who} onChange={(event) => setWho(event.target.value)} />
      </label>
      {change.isError && (
        <p className="problem" role="alert">
          {change.error.message}
        </p>
      )}
      <div className="controls">
        <Button type="submit" look="primary" disabled={change.isPending}>
          Begin maintenance
        </Button>
        <Button onClick={onDone}>Cancel</Button>
      </div>
    </form>
  );
}

/** The maintenance windows that last or are to come: seen, made and ended here. */
export function Maintenance() {
  const [making, setMaking] = useState(false);
  const query = useMaintenance(false);
  return (
    <Card title="Maintenance" aside={making ? undefined : <Button onClick={() => setMaking(true)}>New window</Button>}>
      {making && <Begin onDone={() => setMaking(false)} />}
      {query.isError && query.data === undefined && <Failed error={query.error} retry={() => void query.refetch()} />}
      {query.data?.length === 0 && !making && (
        <p className="quiet">
          None now. During a window nobody is alerted about its services, and healing shows what it would do and does
          nothing by itself.
        </p>
      )}
      <ul>{query.data?.map((window) => <One key={window.id} window={window} />)}</ul>
    </Card>
  );
}
