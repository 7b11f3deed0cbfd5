import { useState } from "react";
import { Link, useNavigate, useParams } from "react-router";

import { useMetricNames } from "../../api/metrics";
import { definitionOf, useChangeSlo, useSlo, type SloDefinition } from "../../api/slos";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Failed, Skeleton } from "../../ui/States";
import { definitionFrom, DraftProblem, draftOf, NEW_DRAFT } from "./draft";
import { SloForm } from "./SloForm";
import "./slos.css";

function Editor({ id, before }: { id: string | null; before: SloDefinition | undefined }) {
  const [draft, setDraft] = useState(() => (before === undefined ? NEW_DRAFT : draftOf(before)));
  const [problem, setProblem] = useState<string | null>(null);
  const change = useChangeSlo();
  const metrics = useMetricNames(draft.kind === "metric_ratio" || draft.kind === "metric_threshold");
  const navigate = useNavigate();
  const save = () => {
    try {
      const definition = definitionFrom(draft, before);
      setProblem(null);
      change.mutate(
        { kind: "save", id, definition },
        { onSuccess: (saved) => void navigate(`/slos/${encodeURIComponent(saved)}`) },
      );
    } catch (cause) {
      if (!(cause instanceof DraftProblem)) throw cause;
      setProblem(cause.message);
    }
  };
  const wrong = problem ?? (change.isError ? change.error.message : null);
  return (
    <form
      className="card card__body form form--page"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <SloForm draft={draft} set={(part) => setDraft((old) => ({ ...old, ...part }))} metrics={metrics} />
      {wrong !== null && (
        <p className="problem wide" role="alert">
          {wrong}
        </p>
      )}
      <div className="form__buttons wide">
        <Link className="button button--plain" to={id === null ? "/slos" : `/slos/${encodeURIComponent(id)}`}>
          Cancel
        </Link>
        <Button type="submit" look="primary" disabled={change.isPending}>
          {change.isPending ? "Saving …" : id === null ? "Make the objective" : "Save"}
        </Button>
      </div>
    </form>
  );
}

/** Making an objective, or changing one. */
export default function SloEdit() {
  const { id } = useParams();
  const query = useSlo(id ?? "", id !== undefined);
  const title = id === undefined ? "New objective" : `Change ${query.data?.slo.name ?? "an objective"}`;
  usePageTitle(title);
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs--plain">
        <Link to="/slos">SLOs</Link> <span aria-hidden="true">/</span> {id === undefined ? "new" : "change"}
      </nav>
      <h1>{title}</h1>
      {id === undefined && <Editor id={null} before={undefined} />}
      {id !== undefined && query.data !== undefined && <Editor id={id} before={definitionOf(query.data)} />}
      {id !== undefined && query.isPending && <Skeleton height={420} label="Loading the objective" />}
      {id !== undefined && query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
    </div>
  );
}
