import { useDeferredValue, useEffect, useMemo, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { ApiError } from "../../api/client";
import { useTrace } from "../../api/queries";
import { useTraceAnalysis } from "../../api/traceQueries";
import type { TraceAnalysis } from "../../api/traceTypes";
import type { Trace } from "../../api/types";
import { colorOf } from "../../lib/colors";
import { dayAndTime, duration, plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Segments";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { samplingSentence } from "../traces/sampling";
import { criticalPath, shiftsOf } from "./critical";
import { findSpans, step } from "./find";
import { FindBox } from "./FindBox";
import { layoutTrace, type Layout } from "./layout";
import { Minimap } from "./Minimap";
import { OperationsTable } from "./OperationsTable";
import { SpanPanel } from "./SpanPanel";
import { SpanTable } from "./SpanTable";
import { Waterfall } from "./Waterfall";
import "../../styles/analysis.css";
import "./trace.css";

const ADDRESS_AFTER_MS = 250;

function Head({ trace, layout }: { trace: Trace; layout: Layout }) {
  const root = layout.rows[0]?.span;
  const sampling = samplingSentence(trace.sampling_probability, trace.sampling_reason);
  return (
    <header className="trace-head">
      <h1>{root === undefined ? "Trace" : `${root.service} · ${root.name}`}</h1>
      <p className="trace-head__line">
        <strong>{duration(layout.durationMs)}</strong>
        <span>{plural(layout.rows.length, "span")}</span>
        {layout.errors > 0 && (
          <span className="status status--bad">
            <Icon name="alert" size={14} /> {plural(layout.errors, "error")}
          </span>
        )}
        {root !== undefined && <time dateTime={root.start}>{dayAndTime(new Date(root.start), true)}</time>}
        <span className="trace-head__id">
          <code className="quiet">{trace.trace_id}</code>
          <CopyButton text={trace.trace_id} label="Copy id" />
        </span>
        <Link to={`/traces/compare?left=${trace.trace_id}`}>Compare with …</Link>
      </p>
      {sampling !== "" && <p className="quiet">{sampling}</p>}
      <ul className="trace-services" aria-label="Services">
        {layout.services.map(({ service, spans, errors }) => (
          <li key={service}>
            <i style={{ background: colorOf(layout.colors, service) }} aria-hidden="true" /> {service}{" "}
            <span className="quiet">
              {spans}
              <span className="sr-only"> spans</span>
            </span>
            {errors > 0 && (
              <span className="status status--bad">
                <Icon name="alert" size={12} />
                {errors}
                <span className="sr-only"> errors</span>
              </span>
            )}
          </li>
        ))}
      </ul>
    </header>
  );
}

/** The selected span. It follows the keys at once, and into the address when they rest: browsers limit how often. */
function useSelectedSpan(): [string | null, (id: string | null) => void] {
  const [params, setParams] = useSearchParams();
  const inAddress = params.get("span");
  const [selected, setSelected] = useState(inAddress);
  useEffect(() => {
    if (selected === inAddress) return undefined;
    const timer = setTimeout(
      () =>
        setParams(
          (old) => {
            if (selected === null) old.delete("span");
            else old.set("span", selected);
            return old;
          },
          { replace: true, preventScrollReset: true },
        ),
      ADDRESS_AFTER_MS,
    );
    return () => clearTimeout(timer);
  }, [selected, inAddress, setParams]);
  return [selected, setSelected];
}

const VIEWS = [
  { value: "waterfall", text: "Waterfall" },
  { value: "table", text: "Table" },
  { value: "operations", text: "Operations" },
] as const;

type View = (typeof VIEWS)[number]["value"];

/** How the trace is shown, and whether only its critical path. Both stand in the address. */
function useView(): { view: View; onlyCritical: boolean; change: (name: "view" | "path", value: string) => void } {
  const [params, setParams] = useSearchParams();
  const view = VIEWS.find((one) => one.value === params.get("view"))?.value ?? "waterfall";
  const change = (name: "view" | "path", value: string) =>
    setParams(
      (old) => {
        if (value === "" || value === "waterfall") old.delete(name);
        else old.set(name, value);
        return old;
      },
      { preventScrollReset: true },
    );
  return { view, onlyCritical: params.get("path") === "critical", change };
}

/** Nothing moves until the analysis has come, and then only what a wrong clock had put into the wrong place. */
function useLayout(trace: Trace, analysis: TraceAnalysis | undefined): Layout {
  const shifts = useMemo(() => (analysis === undefined ? undefined : shiftsOf(analysis)), [analysis]);
  const moved = shifts !== undefined && shifts.size > 0 ? shifts : undefined;
  return useMemo(() => layoutTrace(trace.spans, moved), [trace, moved]);
}

function useFind(layout: Layout, selected: string | null, select: (id: string) => void) {
  const [text, setText] = useState("");
  const asked = useDeferredValue(text);
  const found = useMemo(() => findSpans(layout.rows, asked), [layout, asked]);
  const matches = useMemo(() => (found === null ? null : new Set(found)), [found]);
  const onStep = (by: 1 | -1) => {
    const next = found === null ? null : step(found, selected, by);
    if (next !== null) select(next);
  };
  const at = found === null || selected === null ? 0 : found.indexOf(selected) + 1;
  return { matches, box: <FindBox text={text} found={found?.length ?? null} at={at} onText={setText} onStep={onStep} /> };
}

function Content({ trace }: { trace: Trace }) {
  const analysis = useTraceAnalysis(trace.trace_id);
  const layout = useLayout(trace, analysis.data);
  const critical = useMemo(() => (analysis.data === undefined ? null : criticalPath(analysis.data)), [analysis.data]);
  const rowsById = useMemo(() => new Map(layout.rows.map((row) => [row.span.span_id, row])), [layout]);
  const [selected, select] = useSelectedSpan();
  const { view, onlyCritical, change } = useView();
  const { matches, box } = useFind(layout, selected, select);
  const row = selected === null ? undefined : rowsById.get(selected);
  const criticalMs =
    critical === null || selected === null
      ? null
      : (critical.pieces.get(selected) ?? []).reduce((sum, piece) => sum + piece.durationMs, 0);
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs">
        <Link to="/traces">Traces</Link> <span aria-hidden="true">/</span>{" "}
        <span className="quiet">{trace.trace_id.slice(0, 8)}</span>
      </nav>
      <Head trace={trace} layout={layout} />
      {analysis.data?.notes.map((note) => (
        <p key={note} className="quiet">
          {note}
        </p>
      ))}
      <Minimap layout={layout} />
      <div className="trace-tools">
        <Segments label="View" options={VIEWS} value={view} onChange={(to) => change("view", to)} />
        <label className="check">
          <input
            type="checkbox"
            checked={onlyCritical}
            disabled={critical === null}
            onChange={(event) => change("path", event.target.checked ? "critical" : "")}
          />
          <i className="critical-sign" aria-hidden="true" /> Critical path only
        </label>
        {box}
      </div>
      {analysis.isError && <p className="quiet">The critical path is not known: {analysis.error.message}</p>}
      <div className="trace-columns" data-detail={row !== undefined}>
        {view === "waterfall" && (
          <Waterfall
            layout={layout}
            selected={selected}
            critical={critical}
            onlyCritical={onlyCritical}
            matches={matches}
            onSelect={select}
          />
        )}
        {view === "table" && (
          <SpanTable
            rows={onlyCritical && critical !== null ? layout.rows.filter((one) => critical.pieces.has(one.span.span_id)) : layout.rows}
            critical={critical}
            matches={matches}
            selected={selected}
            onSelect={select}
          />
        )}
        {view === "operations" &&
          (analysis.data === undefined ? (
            <Skeleton height={320} label="Adding up" />
          ) : (
            <OperationsTable rows={analysis.data.operations} totalMs={critical?.totalMs ?? 0} />
          ))}
        {row !== undefined && <SpanPanel row={row} criticalMs={criticalMs} onClose={() => select(null)} />}
      </div>
    </div>
  );
}

/** One trace. The selected span stands in the address. */
export default function TracePage() {
  const { id = "" } = useParams();
  const query = useTrace(id);
  usePageTitle(`Trace ${id.slice(0, 8)}`);
  if (query.data !== undefined && query.data.spans.length > 0) return <Content key={id} trace={query.data} />;
  if (query.data !== undefined || (query.error instanceof ApiError && query.error.status === 404)) {
    return (
      <>
        <h1 className="sr-only">Trace not found</h1>
        <Empty icon="search" title="This trace is not stored">
          <p>
            <code>{id}</code> may be older than the retention, or was never received.{" "}
            <Link to="/traces">Search the traces</Link>
          </p>
        </Empty>
      </>
    );
  }
  return (
    <>
      <h1 className="sr-only">Trace</h1>
      {query.isError ? (
        <Failed error={query.error} retry={() => void query.refetch()} />
      ) : (
        <Skeleton height={520} label="Loading the trace" />
      )}
    </>
  );
}
