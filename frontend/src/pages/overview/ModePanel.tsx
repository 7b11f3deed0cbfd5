import { useState } from "react";
import { Link } from "react-router";

import { healingWaits, useMaintenance } from "../../api/events";
import { useToggleAuto } from "../../api/queries";
import type { PolicyMode } from "../../api/types";
import { dayAndTime } from "../../lib/format";
import { modeWords } from "../../lib/status";
import { useNow } from "../../lib/useNow";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { LazyDialog } from "../../ui/LazyDialog";

const LADDER: PolicyMode[] = ["observe", "suggest", "approve", "auto"];

/** Said here too: in maintenance the mode alone would promise what is not done. */
function Maintenance({ mode }: { mode: PolicyMode }) {
  const maintenance = useMaintenance(false);
  const now = useNow(5_000);
  const heals = mode === "auto" || mode === "approve";
  return healingWaits(maintenance.data ?? [], now.getTime()).map((window) => (
    <p key={window.id} className="notice notice--warn mode__maintenance" role="status">
      <Icon name="warning" />
      <span>
        Maintenance {window.services.length > 0 && `of ${window.services.join(", ")} `}until{" "}
        {dayAndTime(new Date(window.end)).slice(0, -3)}
        {heals ? ": healing shows what it would do and does nothing by itself." : ": nobody is alerted."}{" "}
        <Link to="/events">Maintenance</Link>
      </span>
    </p>
  ));
}

/** How far Homeostat is trusted, and the switch that gives or takes the last step of trust. */
export function ModePanel({ mode }: { mode: PolicyMode }) {
  const [asking, setAsking] = useState(false);
  const toggle = useToggleAuto();
  const auto = mode === "auto";
  const close = () => {
    setAsking(false);
    toggle.reset();
  };
  return (
    <Card title="Mode">
      <ol className="ladder" aria-label="Ladder of trust">
        {LADDER.map((step) => (
          <li key={step} aria-current={step === mode ? "step" : undefined}>
            {modeWords[step].word}
          </li>
        ))}
      </ol>
      <p className="mode__means">{modeWords[mode].means}</p>
      <Maintenance mode={mode} />
      <Button onClick={() => setAsking(true)}>{auto ? "Stop acting automatically" : "Let it act automatically"}</Button>
      {asking && (
        <LazyDialog
          title={auto ? "Stop acting automatically?" : "Let Homeostat act by itself?"}
          confirm={auto ? "Stop" : "Let it act"}
          danger={!auto}
          busy={toggle.isPending}
          error={toggle.error?.message ?? null}
          onConfirm={() => toggle.mutate(!auto, { onSuccess: close })}
          onClose={close}
        >
          {auto
            ? "Trouble is still detected and shown, but nothing more is done about it without a person."
            : "It will do what the policy allows, measure whether it helped, and undo it where it did not."}
        </LazyDialog>
      )}
    </Card>
  );
}
