import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";

import { ApiError } from "../../api/client";
import { definitionOf, useChangeSlo, useSlo, type SloDetail } from "../../api/slos";
import { compactCount } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Card } from "../../ui/Card";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/Icon";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";
import { When } from "../../ui/When";
import { BudgetBar } from "./BudgetBar";
import { SloCharts } from "./SloCharts";
import type { Deleted } from "./Slos";
import { alertMark, burn, condition, percentage, sloMarks, sourceWords, span, told } from "./words";
import "./slos.css";

function Facts({ slo }: Pick<SloDetail, "slo">) {
  return (
    <dl className="slo-facts">
      <div>
        <dt>Objective</dt>
        <dd>
          <span className="fact--big">{percentage(slo.target_percentage)}</span>
          <small>of {slo.indicator_text}, over {span(slo.window_s)}</small>
        </dd>
      </div>
      <div>
        <dt>Current</dt>
        <dd>
          <span className="fact--big">
            <Value of={slo.current_percentage} as={percentage} />
          </span>
          <small>
            <Value of={slo.bad} as={compactCount} /> bad of <Value of={slo.total} as={compactCount} />
          </small>
        </dd>
      </div>
      <div>
        <dt>Budget left</dt>
        <dd>
          <BudgetBar slo={slo} />
          <small>
            <Value of={slo.budget.spent} as={compactCount} /> of <Value of={slo.budget.allowed} as={compactCount} /> bad
            events are used
          </small>
        </dd>
      </div>
      <div>
        <dt>Forecast</dt>
        <dd>
          {slo.forecast.text}
          {slo.forecast.rate_window_s !== null && <small>at the rate of the last {span(slo.forecast.rate_window_s)}</small>}
        </dd>
      </div>
      <div>
        <dt>Seen</dt>
        <dd>
          {slo.covered_s === 0 ? "Not yet" : <Value of={slo.covered_s} as={span} />}
          <small>
            {slo.covered_s === 0 ? "nothing that this objective counts has come in" : "of the window somebody was counting"}; evaluated {slo.time === null ? "never" : <When time={slo.time} />}
          </small>
        </dd>
      </div>
    </dl>
  );
}

function Alerts({ slo }: Pick<SloDetail, "slo">) {
  return (
    <Card title="Alerts" flush>
      {/* A scrolling region has to be reachable by keyboard. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div className="table-scroll" tabIndex={0} role="region" aria-label="Alerts of this objective">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">State</th>
              <th scope="col">Fires while the budget burns</th>
              <th scope="col" className="num">Long</th>
              <th scope="col" className="num">Short</th>
              <th scope="col">Sends</th>
            </tr>
          </thead>
          <tbody>
            {slo.alerts.map((alert) => (
              <tr key={alert.name}>
                <td>
                  <Status mark={alertMark(alert)} />
                  {alert.since !== null && (
                    <div className="quiet">
                      since <When time={alert.since} />
                    </div>
                  )}
                </td>
                <td>{condition(alert)}</td>
                <td className="num">
                  <Value of={alert.long_rate} as={burn} />
                </td>
                <td className="num">
                  <Value of={alert.short_rate} as={burn} />
                </td>
                <td>{told(alert)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {slo.alerts.length === 0 && <Empty icon="question" title="Not evaluated yet" />}
    </Card>
  );
}

function Source({ detail }: { detail: SloDetail }) {
  const id = encodeURIComponent(detail.slo.id);
  const aside = (
    <div className="controls">
      <CopyButton text={detail.openslo} />
      <a className="button button--quiet" href={`/api/slos/export?id=${id}`} download={`${detail.slo.id}.yaml`}>
        <Icon name="down" size={14} /> Download
      </a>
      <a className="button button--quiet" href={`/api/slos/rules?id=${id}`} download={`${detail.slo.id}-rules.yaml`}>
        <Icon name="down" size={14} /> Prometheus rules
      </a>
    </div>
  );
  return (
    <Card title="Definition, as OpenSLO" aside={aside}>
      <div className="slo-source">
        {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
        <pre tabIndex={0} aria-label="OpenSLO text">
          {detail.openslo}
        </pre>
      </div>
    </Card>
  );
}

function Changes({ detail }: { detail: SloDetail }) {
  const change = useChangeSlo();
  const navigate = useNavigate();
  const { slo } = detail;
  if (slo.source === "file") {
    return <span className="quiet">Defined by a file: change it there.</span>;
  }
  const remove = () =>
    change.mutate(
      { kind: "delete", id: slo.id },
      {
        onSuccess: () => {
          const state: Deleted = { deleted: { id: slo.id, definition: definitionOf(detail) } };
          void navigate("/slos", { state });
        },
      },
    );
  return (
    <div className="page__actions">
      {change.isError && (
        <span className="problem" role="alert">
          {change.error.message}
        </span>
      )}
      <Link className="button button--plain" to={`/slos/${encodeURIComponent(slo.id)}/edit`}>
        Change
      </Link>
      <Button look="danger" disabled={change.isPending} onClick={remove}>
        Delete
      </Button>
    </div>
  );
}

function Shown({ detail }: { detail: SloDetail }) {
  const [asTable, setAsTable] = useState(false);
  const { slo } = detail;
  const toggle = (
    <Button look="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
      <Icon name={asTable ? "chart" : "table"} size={14} /> {asTable ? "Show as chart" : "Show as table"}
    </Button>
  );
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs--plain">
        <Link to="/slos">SLOs</Link> <span aria-hidden="true">/</span> {slo.service}
      </nav>
      <header className="slo-head">
        <h1>{slo.name}</h1>
        <Status mark={sloMarks[slo.state]} strong />
        <Changes detail={detail} />
      </header>
      <p className="quiet slo-about">
        {slo.description !== "" && `${slo.description.replace(/\.?$/, ".")} `}It is {sourceWords[slo.source]}.
      </p>
      {slo.problem !== "" && (
        <div className="notice notice--warn">
          <Icon name="warning" />
          <p className="notice__text">{slo.problem}</p>
        </div>
      )}
      <section className="card card__body slo-facts-card" aria-label="How it stands">
        <Facts slo={slo} />
      </section>
      <Card title={`The last ${span(slo.window_s)}`} aside={toggle}>
        <SloCharts detail={detail} asTable={asTable} />
      </Card>
      <div className="slo-columns">
        <Alerts slo={slo} />
        <Source detail={detail} />
      </div>
    </div>
  );
}

/** One objective: how it stands, how the budget went, what it alerts on, and how it is defined. */
export default function SloPage() {
  const { id = "" } = useParams();
  const query = useSlo(id);
  usePageTitle(query.data?.slo.name ?? "Objective");
  if (query.data !== undefined) return <Shown detail={query.data} />;
  if (query.error instanceof ApiError && query.error.status === 404) {
    return (
      <>
        <h1 className="sr-only">Objective not found</h1>
        <Empty icon="search" title="There is no such objective">
          <p>
            <code>{id}</code> is not defined. <Link to="/slos">All objectives</Link>
          </p>
        </Empty>
      </>
    );
  }
  return (
    <>
      <h1 className="sr-only">Objective</h1>
      {query.isError ? (
        <Failed error={query.error} retry={() => void query.refetch()} />
      ) : (
        <Skeleton height={480} label="Loading the objective" />
      )}
    </>
  );
}
