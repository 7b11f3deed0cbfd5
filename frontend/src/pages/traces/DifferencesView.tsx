import { Link, useSearchParams } from "react-router";

import { useDifferences } from "../../api/traceQueries";
import type { Difference, Differences, Split } from "../../api/traceTypes";
import { duration, percent } from "../../lib/format";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Segments";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { groupSentence } from "./sampling";
import { conditions, searchPath, searchProblem, type Search } from "./search";
import { SelfTimeTable } from "./SelfTimeTable";

const SPLITS = [
  { value: "latency", text: "Slow or not" },
  { value: "errors", text: "Failed or not" },
  { value: "time", text: "Now or before" },
] as const;

const SIDES: Record<Split, [string, string]> = {
  latency: ["slow", "others"],
  errors: ["failed", "without error"],
  time: ["this time", "as long before"],
};

const KINDS = { attribute: "attribute", resource: "resource", operation: "has a span", error: "a span failed" };

/** The share as a bar and a number. */
function Share({ of, bad = false }: { of: number; bad?: boolean }) {
  return (
    <span className="share">
      <span className="share__bar" aria-hidden="true">
        <span data-bad={bad} style={{ width: `${of * 100}%` }} />
      </span>
      <span>{percent(of)}</span>
    </span>
  );
}

function toSearch(one: Difference, search: Search): string {
  const base = { ...search, service: one.service, operation: "" };
  if (one.kind === "attribute" && one.relation === "=") return searchPath({ ...base, attribute: `${one.key}=${one.value}` });
  if (one.kind === "operation") return searchPath({ ...base, operation: one.key });
  if (one.kind === "error") return searchPath({ ...base, operation: one.key, errorsOnly: true });
  return one.example_trace_ids[0] === undefined ? searchPath(base) : `/traces/${one.example_trace_ids[0]}`;
}

/** What is said of several services in the same words stands once, with its clearest figures. */
function grouped(differences: readonly Difference[]): { one: Difference; elsewhere: string[] }[] {
  const groups = new Map<string, { one: Difference; elsewhere: string[] }>();
  for (const one of differences) {
    const key = one.kind === "attribute" || one.kind === "resource" ? `${one.kind} ${one.key} ${one.relation} ${one.value}` : `${one.kind} ${one.service} ${one.key}`;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { one, elsewhere: [] });
    else known.elsewhere.push(one.service);
  }
  return [...groups.values()];
}

function Finding({ one, elsewhere, search }: { one: Difference; elsewhere: string[]; search: Search }) {
  return (
    <tr>
      <th scope="row">
        <Link to={toSearch(one, search)} className="mono">
          {one.kind === "operation" || one.kind === "error" ? one.key : `${one.key} ${one.relation} ${one.value}`}
        </Link>
        <span className="quiet finding__where">
          {KINDS[one.kind]} · {one.service}
          {elsewhere.length > 0 && `, also ${elsewhere.join(", ")}`}
        </span>
      </th>
      <td>
        <Share of={one.affected_share} bad />
      </td>
      <td>
        <Share of={one.baseline_share} />
      </td>
      <td className="wide-only">
        {one.significant ? (
          <span className="status status--ok">
            <Icon name="check" size={14} /> hardly chance
          </span>
        ) : (
          <span className="status status--unknown">
            <Icon name="question" size={14} /> may be chance
          </span>
        )}
      </td>
    </tr>
  );
}

function Findings({ data, search }: { data: Differences; search: Search }) {
  const [affected, baseline] = SIDES[data.split];
  return (
    <Card title={`What the ${data.split === "time" ? "traces of this time" : `${affected} traces`} have more often, or more rarely`} flush>
      {data.differences.length === 0 ? (
        <Empty icon="check" title="Nothing sets them apart">
          <p>No attribute, resource or operation is more common on one side.</p>
        </Empty>
      ) : (
        <div className="scroll-x">
          <table className="table findings">
            <thead>
              <tr>
                <th scope="col">What</th>
                <th scope="col">Of the {affected}</th>
                <th scope="col">Of the {baseline}</th>
                <th scope="col" className="wide-only">
                  By chance?
                </th>
              </tr>
            </thead>
            <tbody>
              {grouped(data.differences).map(({ one, elsewhere }) => (
                <Finding
                  key={`${one.kind} ${one.service} ${one.key} ${one.relation} ${one.value}`}
                  one={one}
                  elsewhere={elsewhere}
                  search={search}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function Sides({ data }: { data: Differences }) {
  const [affected, baseline] = SIDES[data.split];
  return (
    <p className="sides">
      <span>
        <strong>{affected}</strong>
        {data.threshold_ms !== null && ` (from ${duration(data.threshold_ms)})`}: {groupSentence(data.affected.traces, data.affected.weight)}
        {data.affected.mean_ms !== null && `, ${duration(data.affected.mean_ms)} on average`}
      </span>
      <span>
        <strong>{baseline}</strong>: {groupSentence(data.baseline.traces, data.baseline.weight)}
        {data.baseline.mean_ms !== null && `, ${duration(data.baseline.mean_ms)} on average`}
      </span>
      {data.notes.map((note) => (
        <span key={note} className="quiet">
          {note}
        </span>
      ))}
    </p>
  );
}

/** What is different about the slow traces, about those that failed, or about those of now. */
export function DifferencesView({ search }: { search: Search }) {
  const [params, setParams] = useSearchParams();
  const split = SPLITS.find((one) => one.value === params.get("split"))?.value ?? "latency";
  const query = useDifferences({ ...conditions(search), split }, searchProblem(search) === null);
  const choose = (to: Split) => {
    const wanted = new URLSearchParams(params);
    if (to === "latency") wanted.delete("split");
    else wanted.set("split", to);
    setParams(wanted);
  };
  const { data } = query;
  const [affected, baseline] = SIDES[split];
  const oneSided = data !== undefined && (data.affected.traces === 0 || data.baseline.traces === 0);
  return (
    <>
      <Segments label="Hold against each other" options={SPLITS} value={split} onChange={choose} />
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
      {data === undefined && !query.isError && <Skeleton height={420} label="Comparing traces" />}
      {data !== undefined && <Sides data={data} />}
      {oneSided && (
        <div className="card">
          <Empty icon="search" title="There is nothing to hold against each other">
            <p>
              It takes traces on both sides ({affected}; {baseline}). Take a longer time, fewer conditions, or another division.
            </p>
          </Empty>
        </div>
      )}
      {data !== undefined && !oneSided && (
        <>
          <Findings data={data} search={search} />
          <SelfTimeTable title="Where the additional time goes" rows={data.operations} left={baseline} right={affected} perTrace />
        </>
      )}
    </>
  );
}
