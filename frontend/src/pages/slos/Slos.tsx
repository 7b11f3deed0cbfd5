import { useMemo } from "react";
import { Link, useLocation, useNavigate, useSearchParams } from "react-router";

import { useChangeSlo, useSlos, type SloAnswer, type SloDefinition } from "../../api/slos";
import { plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Segments";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";
import { BudgetBar } from "./BudgetBar";
import { burn, matches, percentage, sloMarks, span, worstFirst } from "./words";
import "./slos.css";

const SHOWN_RATES_S = [3_600, 21_600, 86_400];

/** What the page of an objective leaves behind when it deletes it, so that it can be made again. */
export interface Deleted {
  deleted: { id: string; definition: SloDefinition };
}

const STATES = [
  { value: "", text: "All" },
  { value: "trouble", text: "In trouble" },
  { value: "healthy", text: "Healthy" },
  { value: "unknown", text: "Unknown" },
] as const;

function Rates({ slo }: { slo: SloAnswer }) {
  const shown = slo.burn_rates.filter((rate) => SHOWN_RATES_S.includes(rate.window_s));
  return (
    <dl className="rates">
      {shown.map((rate) => (
        <div key={rate.window_s} data-fast={rate.rate !== null && rate.rate > 1}>
          <dt>{span(rate.window_s)}</dt>
          <dd>
            <Value of={rate.rate} as={burn} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Row({ slo }: { slo: SloAnswer }) {
  const firing = slo.alerts.filter((alert) => alert.firing === true);
  return (
    <li className="slo-row">
      <div className="slo-row__name">
        <Link to={`/slos/${encodeURIComponent(slo.id)}`}>{slo.name}</Link>
        <p className="quiet">
          <span className="slo-row__service">{slo.service}</span> · {slo.indicator_text}
        </p>
      </div>
      <div className="slo-row__state">
        <Status mark={sloMarks[slo.state]} />
        {firing.length > 0 && <span className="slo-row__firing">{plural(firing.length, "alert")} firing</span>}
      </div>
      <dl className="slo-row__figures">
        <div>
          <dt>Objective</dt>
          <dd>
            {percentage(slo.target_percentage)} <span className="quiet">/ {span(slo.window_s)}</span>
          </dd>
        </div>
        <div>
          <dt>Current</dt>
          <dd>
            <Value of={slo.current_percentage} as={percentage} />
          </dd>
        </div>
      </dl>
      <div className="slo-row__budget">
        <span className="slo-row__label">Budget left</span>
        <BudgetBar slo={slo} />
        <span className="slo-row__forecast">{slo.problem === "" ? slo.forecast.text : slo.problem}</span>
      </div>
      <div className="slo-row__rates">
        <span className="slo-row__label">Burn rate over</span>
        <Rates slo={slo} />
      </div>
    </li>
  );
}

function Undo({ state }: { state: Deleted }) {
  const change = useChangeSlo();
  const navigate = useNavigate();
  const { id, definition } = state.deleted;
  const again = () =>
    change.mutate({ kind: "save", id, definition }, { onSuccess: () => void navigate("/slos", { replace: true, state: null }) });
  return (
    <div className="notice" role="status">
      <Icon name="check" />
      <div className="notice__text">
        <strong>{definition.name}</strong> was deleted.
        {change.isError && <p className="problem">{change.error.message}</p>}
      </div>
      <Button onClick={again} disabled={change.isPending}>
        <Icon name="undo" size={14} /> Undo
      </Button>
    </div>
  );
}

function NoneYet() {
  return (
    <Empty icon="gauge" title="No objective yet">
      <p>
        An objective promises a share of good requests, for example “99.9 % of the requests of checkout succeed, over 30
        days”. What may go wrong is its error budget.
      </p>
      <p className="empty__links">
        <Link to="/slos/new">Make one</Link>
        <Link to="/slos/import">Import an OpenSLO file</Link>
      </p>
    </Empty>
  );
}

/** Every objective, what needs a person first. The filter stands in the address. */
export default function Slos() {
  usePageTitle("SLOs");
  const [params, setParams] = useSearchParams();
  const location = useLocation();
  const query = useSlos();
  const state = params.get("state") ?? "";
  const text = params.get("q") ?? "";
  const all = query.data;
  const shown = useMemo(() => worstFirst(all ?? []).filter((slo) => matches(slo, state, text)), [all, state, text]);
  const left = location.state as Deleted | null;
  const set = (key: string, value: string) =>
    setParams(
      (old) => {
        const next = new URLSearchParams(old);
        if (value === "") next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true, state: left },
    );
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Service level objectives</h1>
        <div className="page__actions">
          <Link className="button button--plain" to="/slos/import">
            Import OpenSLO
          </Link>
          <a className="button button--plain" href="/api/slos/export" download="slos.yaml">
            Export all
          </a>
          <Link className="button button--primary" to="/slos/new">
            New objective
          </Link>
        </div>
      </div>
      {left?.deleted !== undefined && <Undo state={left} />}
      <div className="controls slo-filter">
        <Segments
          label="State"
          options={STATES.map((one) => ({
            ...one,
            count: all?.filter((slo) => matches(slo, one.value, "")).length,
          }))}
          value={STATES.find((one) => one.value === state)?.value ?? ""}
          onChange={(value) => set("state", value)}
        />
        <input
          type="search"
          aria-label="Filter by name, service or indicator"
          placeholder="Filter by name, service or indicator"
          value={text}
          onChange={(event) => set("q", event.target.value)}
        />
      </div>
      <div className="card slo-card">
        {query.isPending && <Skeleton height={420} label="Loading the objectives" />}
        {query.isError && all === undefined && <Failed error={query.error} retry={() => void query.refetch()} />}
        {shown.length > 0 && (
          <ul aria-label="Objectives, what needs a person first">
            {shown.map((slo) => (
              <Row key={slo.id} slo={slo} />
            ))}
          </ul>
        )}
        {all?.length === 0 && <NoneYet />}
        {all !== undefined && all.length > 0 && shown.length === 0 && (
          <Empty icon="search" title="No objective fits this filter">
            <p>{plural(all.length, "objective")} in all.</p>
          </Empty>
        )}
      </div>
    </div>
  );
}
