import { useState } from "react";

import { useToggleAuto } from "../../api/queries";
import type { PolicyMode } from "../../api/types";
import { modeWords } from "../../lib/status";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { LazyDialog } from "../../ui/LazyDialog";

const LADDER: PolicyMode[] = ["observe", "suggest", "approve", "auto"];

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
