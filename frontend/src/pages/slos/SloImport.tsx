import { useState } from "react";
import { Link } from "react-router";

import { useImportSlos, type SloImport as Imported } from "../../api/slos";
import { plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { percentage, span } from "./words";
import "./slos.css";

const EXAMPLE = `apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout-availability
  displayName: Checkout answers
spec:
  service: checkout
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: checkout-good}
    spec:
      ratioMetric:
        good: {metricSource: {type: homeostat, spec: {signal: good_requests}}}
        total: {metricSource: {type: homeostat, spec: {signal: requests}}}
  objectives: [{target: 0.999}]
`;

function Outcome({ answer, done }: { answer: Imported; done: boolean }) {
  const fresh = new Set(answer.created);
  return (
    <div className="notice" role="status">
      <Icon name="check" />
      <div className="notice__text">
        <strong>
          {done ? "Imported" : "Would bring"}: {plural(answer.created.length, "new objective")},{" "}
          {plural(answer.updated.length, "changed one")}.
        </strong>
        <ul>
          {answer.slos.map((slo) => (
            <li key={slo.id}>
              {done ? <Link to={`/slos/${encodeURIComponent(slo.id)}`}>{slo.name}</Link> : slo.name}{" "}
              <span className="quiet">
                {fresh.has(slo.id) ? "new" : "replaces the one of that name"} · {percentage(slo.target_percentage)} of{" "}
                {slo.indicator_text}, over {span(slo.window_s)}
              </span>
            </li>
          ))}
          {answer.notes.map((note) => (
            <li key={note}>
              Note: <span className="quiet">{note}</span>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

/** Objectives out of an OpenSLO file. Looked at first, then taken over: all or none. */
export default function SloImport() {
  usePageTitle("Import objectives");
  const [text, setText] = useState("");
  const load = useImportSlos();
  const checked = load.isSuccess && load.variables.dryRun && load.variables.text === text;
  const open = async (file: File | undefined) => {
    if (file === undefined) return;
    setText(await file.text());
    load.reset();
  };
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs--plain">
        <Link to="/slos">SLOs</Link> <span aria-hidden="true">/</span> import
      </nav>
      <h1>Import objectives</h1>
      <form
        className="card card__body form form--page"
        onSubmit={(event) => {
          event.preventDefault();
          load.mutate({ text, dryRun: !checked });
        }}
      >
        <label className="field">
          <span>An OpenSLO v1 file, YAML or JSON</span>
          <input type="file" accept=".yaml,.yml,.json" onChange={(event) => void open(event.target.files?.[0])} />
        </label>
        <label className="field wide">
          <span>Its text</span>
          <textarea required value={text} placeholder={EXAMPLE} spellCheck={false} onChange={(event) => setText(event.target.value)} />
        </label>
        {load.isError && (
          <p className="problem wide" role="alert">
            {load.error.message}
          </p>
        )}
        {load.isSuccess && load.variables.text === text && (
          <div className="wide">
            <Outcome answer={load.data} done={!load.variables.dryRun} />
          </div>
        )}
        <div className="form__buttons wide">
          <Link className="button button--plain" to="/slos">
            {load.isSuccess && !load.variables.dryRun ? "To the objectives" : "Cancel"}
          </Link>
          <Button type="submit" look="primary" disabled={load.isPending || text.trim() === ""}>
            {load.isPending ? "Reading …" : checked ? "Import" : "Check"}
          </Button>
        </div>
      </form>
    </div>
  );
}
