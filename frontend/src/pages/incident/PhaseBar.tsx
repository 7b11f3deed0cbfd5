import type { IncidentDetail } from "../../api/types";
import { duration } from "../../lib/format";
import { useNow } from "../../lib/useNow";
import { momentsOf, phasesOf } from "./phases";

/** How long each phase took, as one bar. Short phases keep a width that can be seen; the numbers are exact. */
export function PhaseBar({ detail }: { detail: IncidentDetail }) {
  const now = useNow(1_000);
  const moments = momentsOf(detail.incident, detail.timeline);
  const phases = phasesOf(moments, now.getTime());
  if (phases.length === 0) return null;
  return (
    <ol className="phases" aria-label="Phases">
      {phases.map((phase) => {
        const ms = phase.to - phase.from;
        // The square root keeps a hold-off of minutes from pressing the seconds of healing to nothing.
        return (
          <li key={phase.name} className={`phase phase--${phase.tone}`} style={{ flexGrow: Math.sqrt(ms) }}>
            <span className="phase__bar" aria-hidden="true" />
            <strong>{duration(ms)}</strong>
            <span className="phase__name">{phase.name}</span>
            <span className="quiet phase__what">{phase.what}</span>
          </li>
        );
      })}
    </ol>
  );
}
