import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import { ApiError } from "../../api/client";
import { useComparison } from "../../api/traceQueries";
import type { TraceComparison } from "../../api/traceTypes";
import { duration } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { SelfTimeTable } from "../traces/SelfTimeTable";
import { signedMs } from "./changes";
import { SpanDifferences } from "./SpanDifferences";
import "../../styles/analysis.css";
import "./compare.css";

const TRACE_ID = /^[0-9a-f]{32}$/i;

function IdForm({ left, right, onCompare }: { left: string; right: string; onCompare: (left: string, right: string) => void }) {
  const [draft, setDraft] = useState({ left, right });
  const [problem, setProblem] = useState<string | null>(null);
  const submit = () => {
    const wrong = [draft.left, draft.right].some((id) => !TRACE_ID.test(id));
    setProblem(wrong ? "A trace id is 32 hexadecimal digits; it stands on the page of the trace." : null);
    if (!wrong) onCompare(draft.left, draft.right);
  };
  return (
    <form
      className="card compare-form"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {(["left", "right"] as const).map((side) => (
        <label key={side} className="field">
          <span>{side === "left" ? "Left trace" : "Right trace"}</span>
          <input
            className="mono"
            value={draft[side]}
            placeholder="trace id"
            spellCheck={false}
            onChange={(event) => setDraft({ ...draft, [side]: event.target.value.trim() })}
          />
        </label>
      ))}
      <Button type="submit" look="primary">
        Compare
      </Button>
      <Button onClick={() => onCompare(right, left)} disabled={left === "" || right === ""}>
        Swap sides
      </Button>
      {problem !== null && (
        <p className="search__problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

function Side({ title, id, ms, longest }: { title: string; id: string; ms: number; longest: number }) {
  return (
    <div className="compare-side">
      <span className="quiet">{title}</span>
      <strong>{duration(ms)}</strong>
      <Link to={`/traces/${id}`} className="mono">
        {id.slice(0, 8)}
      </Link>
      <span className="share__bar" aria-hidden="true">
        <span style={{ width: `${longest > 0 ? (ms / longest) * 100 : 0}%` }} />
      </span>
    </div>
  );
}

function Result({ data }: { data: TraceComparison }) {
  const longest = Math.max(data.left_ms, data.right_ms);
  return (
    <>
      <section className="card compare-head" aria-label="Durations">
        <Side title="Left" id={data.left_trace_id} ms={data.left_ms} longest={longest} />
        <Side title="Right" id={data.right_trace_id} ms={data.right_ms} longest={longest} />
        <p>
          The right trace is{" "}
          <strong>
            {data.delta_ms === 0 ? "as long" : `${duration(Math.abs(data.delta_ms))} ${data.delta_ms > 0 ? "longer" : "shorter"}`}
          </strong>
          {data.left_ms > 0 && data.delta_ms !== 0 && ` (${signedMs(data.delta_ms)}, ${(data.right_ms / data.left_ms).toFixed(2)} times)`}.
        </p>
        {data.notes.map((note) => (
          <p key={note} className="quiet">
            {note}
          </p>
        ))}
      </section>
      <SpanDifferences data={data} />
      <SelfTimeTable title="Where the difference comes from" rows={data.operations} left="left" right="right" />
    </>
  );
}

/** Two traces side by side. Which ones stands in the address. */
export default function ComparePage() {
  usePageTitle("Compare traces");
  const [params, setParams] = useSearchParams();
  const [left, right] = [params.get("left") ?? "", params.get("right") ?? ""];
  const query = useComparison(left, right);
  const asked = left !== "" && right !== "";
  const unknown = query.error instanceof ApiError && query.error.status === 404;
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs">
        <Link to="/traces">Traces</Link> <span aria-hidden="true">/</span> <span className="quiet">compare</span>
      </nav>
      <h1>Compare two traces</h1>
      <IdForm key={`${left} ${right}`} left={left} right={right} onCompare={(one, other) => setParams({ left: one, right: other })} />
      {!asked && (
        <div className="card">
          <Empty icon="search" title="Two traces are needed">
            <p>
              Tick two in the <Link to="/traces">list of traces</Link>, or give their ids above.
            </p>
          </Empty>
        </div>
      )}
      {unknown && (
        <div className="card">
          <Empty icon="search" title="One of the traces is not stored">
            <p>{query.error?.message}</p>
          </Empty>
        </div>
      )}
      {query.isError && !unknown && <Failed error={query.error} retry={() => void query.refetch()} />}
      {asked && query.isPending && <Skeleton height={420} label="Comparing" />}
      {asked && query.data !== undefined && !query.isError && <Result data={query.data} />}
    </div>
  );
}
