import type { LoopCounts, PolicyMode } from "../../api/types";
import { compactCount, plural, rate } from "../../lib/format";
import { Icon, type IconName } from "../../ui/Icon";

interface Stage {
  name: string;
  icon: IconName;
  count: number;
  unit: string;
  now: string;
  active: boolean;
  attention?: boolean;
}

function stagesOf(counts: LoopCounts): Stage[] {
  const { observe, detect, decide, act, verify, recover } = counts;
  return [
    {
      name: "Observe",
      icon: "eye",
      count: observe.spans_total,
      unit: "spans",
      now: observe.spans_per_s === null ? "no data" : `${rate(observe.spans_per_s)} per second`,
      active: (observe.spans_per_s ?? 0) > 0,
    },
    {
      name: "Detect",
      icon: "alert",
      count: detect.issues_total,
      unit: detect.issues_total === 1 ? "issue" : "issues",
      now: detect.issues_open === 0 ? "none open" : `${detect.issues_open} open`,
      active: detect.issues_open > 0,
      attention: detect.issues_open > 0,
    },
    {
      name: "Decide",
      icon: "plan",
      count: decide.plans_total,
      unit: decide.plans_total === 1 ? "plan" : "plans",
      now: decide.awaiting_approval === 0 ? "none waiting" : `${decide.awaiting_approval} awaiting approval`,
      active: decide.awaiting_approval > 0,
      attention: decide.awaiting_approval > 0,
    },
    {
      name: "Act",
      icon: "wrench",
      count: act.runs_total,
      unit: act.runs_total === 1 ? "run" : "runs",
      now: act.in_progress === 0 ? "none running" : `${act.in_progress} running`,
      active: act.in_progress > 0,
    },
    {
      name: "Verify",
      icon: "gauge",
      count: verify.verified,
      unit: "verified",
      now: plural(verify.not_helped, "did not help", "did not help"),
      active: false,
    },
    {
      name: "Recover",
      icon: "loop",
      count: recover.rearmed,
      unit: "re-armed",
      now: `${compactCount(recover.escalated)} escalated`,
      active: false,
      attention: recover.escalated > 0,
    },
  ];
}

/** The loop as a picture: six stages in a row, and the way back from the last to the first. */
export function Loop({ counts, mode }: { counts: LoopCounts; mode: PolicyMode }) {
  const idle = mode === "observe" || mode === "suggest";
  return (
    <section className="loop" aria-label="The loop">
      <ol className="loop__stages">
        {stagesOf(counts).map((stage, index) => (
          <li
            key={stage.name}
            className="loop__stage"
            data-active={stage.active}
            data-attention={stage.attention === true}
            data-off={idle && index >= 3}
          >
            <span className="loop__name">
              <Icon name={stage.icon} /> {stage.name}
            </span>
            <span className="loop__count">
              {compactCount(stage.count)} <small>{stage.unit}</small>
            </span>
            <span className="loop__now">{stage.now}</span>
          </li>
        ))}
      </ol>
      <div className="loop__back" aria-hidden="true" />
    </section>
  );
}
