import * as Switch from "@radix-ui/react-switch";
import { useId, useState } from "react";

import { useFlagChanges, useFlags, useSetFlag } from "../../api/queries";
import type { Flag, FlagChange } from "../../api/types";
import { Card } from "../../ui/Card";
import { LazyDialog } from "../../ui/LazyDialog";
import { Failed, Skeleton } from "../../ui/States";
import { When } from "../../ui/When";

function FlagRow({ flag, onAsk }: { flag: Flag; onAsk: (flag: Flag) => void }) {
  const id = useId();
  return (
    <li className="flag">
      <div className="flag__text">
        <label id={id} htmlFor={`${id}-switch`} className="flag__name">
          {flag.flag}
        </label>
        <span className="quiet flag__what">{flag.description}</span>
        {flag.armed !== flag.value && (
          <span className="flag__held">Turned {flag.value ? "on" : "off"} by healing, to be put back</span>
        )}
      </div>
      <span className="flag__state">{flag.value ? "on" : "off"}</span>
      <Switch.Root
        id={`${id}-switch`}
        className="switch"
        checked={flag.value}
        aria-labelledby={id}
        onCheckedChange={() => onAsk(flag)}
      >
        <Switch.Thumb className="switch__thumb" />
      </Switch.Root>
    </li>
  );
}

/** The deployment event of a change, to be unfolded: what Dynatrace is told, and whether it was. */
function EventRow({ change }: { change: FlagChange }) {
  if (change.event === null) return null;
  return (
    <details className="flag__event">
      <summary>
        {change.event.title}, <When time={change.time} />
      </summary>
      <dl>
        <div>
          <dt>{change.event.eventType}</dt>
          <dd>{change.event_sent ? "also sent to Dynatrace" : `kept here (Dynatrace: ${change.event_detail})`}</dd>
        </div>
        {Object.entries(change.event.properties).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function LastChanges() {
  const changes = useFlagChanges();
  const last = changes.data?.[0];
  if (last === undefined) return null;
  return (
    <div className="quiet flag__last">
      <p>
        Last change <When time={last.time} />: {last.flag} {last.new_value ? "on" : "off"} by {last.triggered_by}
        {last.reason !== "" && `, “${last.reason}”`}
      </p>
      {changes.data?.map((change) => (
        <EventRow key={change.id} change={change} />
      ))}
    </div>
  );
}

/** The feature flags, and turning them by hand. Every change asks for its reason, because it is audited. */
export function FlagsPanel() {
  const flags = useFlags();
  const [asked, setAsked] = useState<Flag | null>(null);
  const change = useSetFlag();
  const close = () => {
    setAsked(null);
    change.reset();
  };
  return (
    <Card title="Feature flags">
      {flags.isPending && <Skeleton height={366} label="Loading the flags" />}
      {flags.isError && flags.data === undefined && <Failed error={flags.error} retry={() => void flags.refetch()} />}
      {flags.data?.length === 0 && <p className="quiet">No flag is defined.</p>}
      {flags.data !== undefined && (
        <ul className="plain-list">
          {flags.data.map((flag) => (
            <FlagRow key={flag.flag} flag={flag} onAsk={setAsked} />
          ))}
        </ul>
      )}
      <LastChanges />
      {asked !== null && (
        <LazyDialog
          title={`Turn ${asked.flag} ${asked.value ? "off" : "on"}?`}
          confirm={asked.value ? "Turn off" : "Turn on"}
          askWho
          askReason="required"
          busy={change.isPending}
          error={change.error?.message ?? null}
          onConfirm={({ who, reason }) =>
            change.mutate({ flag: asked.flag, value: !asked.value, reason, triggeredBy: who }, { onSuccess: close })
          }
          onClose={close}
        >
          {asked.description} The running services follow within a second. The change is audited with your reason.
        </LazyDialog>
      )}
    </Card>
  );
}
