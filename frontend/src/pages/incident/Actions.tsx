import { useState } from "react";
import { Link } from "react-router";

import { useActions, useDecideRun, type RunDecision } from "../../api/queries";
import type { ActionSpec, Run, Verdict } from "../../api/types";
import { measured, percent, signalName, words } from "../../lib/format";
import { runMarks } from "../../lib/status";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { LazyDialog } from "../../ui/LazyDialog";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";
import { When } from "../../ui/When";

type Kind = RunDecision["kind"];
interface Asked {
  kind: Kind;
  run: Run;
}

/** All of them: the verdict's text tells of the first few only. */
function Harmed({ services }: { services: string[] }) {
  if (services.length === 0) return null;
  const names = [...new Set(services)];
  return (
    <p className="verdict__harmed">
      <span className="quiet">Became worse through it</span>
      {names.map((name) => (
        <Link key={name} to={`/traces?service=${encodeURIComponent(name)}`}>
          {name}
        </Link>
      ))}
    </p>
  );
}

function VerdictLine({ verdict }: { verdict: Verdict }) {
  const tone = verdict.helped === null ? "unknown" : verdict.helped ? "ok" : "bad";
  const show = (value: number) => measured(value, verdict.unit);
  return (
    <div className={`verdict verdict--${tone}`}>
      <p className="verdict__numbers">
        <span className="quiet">{signalName(verdict.signal)}</span>
        <span>
          <Value of={verdict.before} as={show} />
        </span>
        <span aria-hidden="true">→</span>
        <span className="sr-only">became</span>
        <strong>
          <Value of={verdict.after} as={show} />
        </strong>
      </p>
      <p className="quiet">
        {verdict.reason}
        {verdict.sample_size > 0 && ` (${verdict.sample_size} requests)`}
      </p>
      <Harmed services={verdict.harmed} />
    </div>
  );
}

interface ItemProps {
  run: Run;
  spec: ActionSpec | undefined;
  onAsk: (asked: Asked) => void;
}

function RunItem({ run, spec, onAsk }: ItemProps) {
  const waiting = run.status === "awaiting_approval";
  const inForce = run.status === "acted" || (run.status === "verified" && run.rearmed_at === null);
  const canUndo = inForce && spec !== undefined && spec.undo !== null;
  return (
    <li className="run" data-waiting={waiting}>
      <div className="run__head">
        <strong>{words(run.step.action)}</strong>
        <Status mark={runMarks[run.status]} />
      </div>
      <p className="run__on">
        <code>{run.step.resource}</code>
        <span className="quiet"> · candidate {run.attempt}</span>
        {spec !== undefined && <span className="quiet"> · {spec.risk} risk</span>}
        {run.dry_run && <span className="quiet"> · dry run</span>}
      </p>
      <p className="quiet">{run.step.why}</p>
      {run.verdict !== null && <VerdictLine verdict={run.verdict} />}
      {run.error !== null && <p className="run__error">{run.error}</p>}
      <p className="quiet run__when">
        {run.acted_at === null ? (
          <>
            proposed <When time={run.created_at} />
          </>
        ) : (
          <>
            acted <When time={run.acted_at} />
          </>
        )}
        {run.triggered_by !== "homeostat" && ` by ${run.triggered_by}`}
        {run.rearmed_at !== null && (
          <>
            {" "}
            · put back <When time={run.rearmed_at} />
          </>
        )}
      </p>
      {(waiting || canUndo) && (
        <div className="run__buttons">
          {waiting && (
            <>
              <Button look="primary" onClick={() => onAsk({ kind: "approve", run })}>
                Approve
              </Button>
              <Button onClick={() => onAsk({ kind: "reject", run })}>Reject</Button>
            </>
          )}
          {canUndo && <Button onClick={() => onAsk({ kind: "undo", run })}>Undo</Button>}
        </div>
      )}
    </li>
  );
}

const TITLES: Record<Kind, string> = {
  approve: "Approve this action?",
  reject: "Reject this action?",
  undo: "Undo this action?",
};
const CONFIRMS: Record<Kind, string> = { approve: "Approve", reject: "Reject", undo: "Undo it" };

function undoText(spec: ActionSpec | undefined): string {
  if (spec === undefined) return "";
  return spec.undo === null ? "It can't be taken back." : `Taking it back: ${spec.undo}`;
}

function decisionOf(asked: Asked, who: string, reason: string): RunDecision {
  if (asked.kind === "reject") return { kind: "reject", run: asked.run, who, reason };
  return { kind: asked.kind, run: asked.run, who };
}

/** What was done, or waits for a person, and what measuring said about it. */
export function Actions({ runs }: { runs: Run[] }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const decide = useDecideRun();
  const specs = useActions().data;
  const specOf = (run: Run) => specs?.find((spec) => spec.name === run.step.action);
  const close = () => {
    setAsked(null);
    decide.reset();
  };
  return (
    <Card title="Actions">
      {runs.length === 0 && <p className="quiet">Nothing was done.</p>}
      <ul className="plain-list">
        {runs.map((run) => (
          <RunItem key={run.id} run={run} spec={specOf(run)} onAsk={setAsked} />
        ))}
      </ul>
      {asked !== null && (
        <LazyDialog
          title={TITLES[asked.kind]}
          confirm={CONFIRMS[asked.kind]}
          danger={asked.kind !== "approve"}
          askWho
          {...(asked.kind === "reject" ? { askReason: "optional" as const } : {})}
          busy={decide.isPending}
          error={decide.error?.message ?? null}
          onConfirm={({ who, reason }) => decide.mutate(decisionOf(asked, who, reason), { onSuccess: close })}
          onClose={close}
        >
          {words(asked.run.step.action)} on <code>{asked.run.step.resource}</code>: {asked.run.step.why} Confidence{" "}
          {percent(asked.run.step.confidence)}. {undoText(specOf(asked.run))}
        </LazyDialog>
      )}
    </Card>
  );
}
