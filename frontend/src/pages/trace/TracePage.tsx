import { useDeferredValue, useEffect, useMemo, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { ApiError } from "../../api/client";
import { useMatches, useTraceColumns, type TraceColumns } from "../../api/traceColumns";
import { useTraceAnalysis } from "../../api/traceQueries";
import type { TraceAnalysis } from "../../api/traceTypes";
import { colorOf } from "../../lib/colors";
import { dayAndTime, duration, plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { useSettled } from "../../lib/useSettled";
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
const ASK_AFTER_MS = 150; // of quiet after a key

const SERVICES_FIRST = 24;
const TITLE_MAX = 240;

function Services({ layout }: { layout: Layout }) {
  const [all, setAll] = useState(false);
  const shown = all ? layout.services : layout.services.slice(0, SERVICES_FIRST);
  return (
    <ul className="trace-services" aria-label="Services">
      {shown.map(({ service, spans, errors }) => (
        <li key={service}>
          <i style={{ background: colorOf(layout.colors, service) }} aria-hidden="true" /> <bdi>{service}</bdi>{" "}
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
      {shown.length < layout.services.length && (
        <li>
          <button type="button" className="link-button" onClick={() => setAll(true)}>
            and {plural(layout.services.length - shown.length, "more service")}
          </button>
        </li>
      )}
    </ul>
  );
}

function Head({ trace, layout }: { trace: TraceColumns; layout: Layout }) {
  const { root } = layout;
  const sampling = samplingSentence(trace.sampling_probability, trace.sampling_reason);
  return (
    <header className="trace-head">
      <h1>
        {root === undefined ? (
          "Trace"
        ) : (
          <>
            <bdi>{root.service}</bdi> · <bdi>{root.name.slice(0, TITLE_MAX)}</bdi>
            {root.name.length > TITLE_MAX && " …"}
          </>
        )}
      </h1>
      <p className="trace-head__line">
        <strong>{duration(layout.durationMs)}</strong>
        <span>{plural(layout.rows.length, "span")}</span>
        {layout.errors > 0 && (
          <span className="status status--bad">
            <Icon name="alert" size={14} /> {plural(layout.errors, "error")}
          </span>
        )}
        <time dateTime={trace.start}>{dayAndTime(new Date(trace.start), true)}</time>
        <span className="trace-head__id">
          <code className="quiet">{trace.trace_id}</code>
          <CopyButton text={trace.trace_id} label="Copy id" />
        </span>
        <Link to={`/traces/compare?left=${trace.trace_id}`}>Compare with …</Link>
      </p>
      {sampling !== "" && <p className="quiet">{sampling}</p>}
      <Services layout={layout} />
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

interface Placed {
  layout: Layout;
  shifts: ReadonlyMap<string, number>;
}

const UNSHIFTED: ReadonlyMap<string, number> = new Map();

/** Nothing moves until the analysis has come, and then only what a wrong clock had put into the wrong place. */
function useLayout(trace: TraceColumns, analysis: TraceAnalysis | undefined): Placed {
  const shifts = useMemo(() => {
    const found = analysis === undefined ? UNSHIFTED : shiftsOf(analysis);
    return found.size > 0 ? found : UNSHIFTED;
  }, [analysis]);
  const layout = useMemo(() => layoutTrace(trace, shifts), [trace, shifts]);
  return { layout, shifts };
}

/** Names and ids are found at once, attributes and events when the server has answered. */
function useFind(traceId: string, layout: Layout, selected: string | null, select: (id: string) => void) {
  const [text, setText] = useState("");
  const [waiting, setWaiting] = useState<1 | -1 | null>(null); // a step that was asked for before there was a match
  const asked = useDeferredValue(text.trim());
  const settled = useSettled(asked, ASK_AFTER_MS);
  const answer = useMatches(traceId, settled);
  const others = settled === asked ? answer.data?.span_ids : undefined;
  const found = useMemo(() => findSpans(layout.rows, asked, others), [layout, asked, others]);
  const matches = useMemo(() => (found === null ? null : new Set(found)), [found]);
  const onStep = (by: 1 | -1) => {
    const next = found === null ? null : step(found, selected, by);
    if (next !== null) select(next);
    setWaiting(next === null && text.trim() !== "" ? by : null);
  };
  if (waiting !== null && found !== null && found.length > 0) {
    setWaiting(null);
    const next = step(found, selected, waiting);
    if (next !== null) select(next);
  }
  const at = found === null || selected === null ? 0 : found.indexOf(selected) + 1;
  const onText = (to: string) => {
    setText(to);
    setWaiting(null);
  };
  const server = settled !== asked || answer.isPending ? "pending" : answer.isError ? "failed" : "done";
  const count = found?.length ?? null;
  return {
    matches,
    box: <FindBox text={text} found={count} server={server} at={at} onText={onText} onStep={onStep} />,
  };
}

function Content({ trace }: { trace: TraceColumns }) {
  const analysis = useTraceAnalysis(trace.trace_id);
  const { layout, shifts } = useLayout(trace, analysis.data);
  const critical = useMemo(() => (analysis.data === undefined ? null : criticalPath(analysis.data)), [analysis.data]);
  const [selected, select] = useSelectedSpan();
  const { view, onlyCritical, change } = useView();
  const { matches, box } = useFind(trace.trace_id, layout, selected, select);
  const row = useMemo(
    () => (selected === null ? undefined : layout.rows.find((one) => one.id === selected)),
    [layout, selected],
  );
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
            rows={onlyCritical && critical !== null ? layout.rows.filter((one) => critical.pieces.has(one.id)) : layout.rows}
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
        {row !== undefined && (
          <SpanPanel
            key={row.id}
            traceId={trace.trace_id}
            row={row}
            criticalMs={criticalMs}
            shiftMs={shifts.get(row.id) ?? 0}
            onClose={() => select(null)}
          />
        )}
      </div>
    </div>
  );
}

/** One trace. The selected span stands in the address. */
export default function TracePage() {
  const { id = "" } = useParams();
  const query = useTraceColumns(id);
  usePageTitle(`Trace ${id.slice(0, 8)}`);
  if (query.data !== undefined && query.data.parents.length > 0) return <Content key={id} trace={query.data} />;
  if (query.data !== undefined || (query.error instanceof ApiError && query.error.status === 404)) {
    return (
      <>
        <h1 className="sr-only">Trace not found</h1>
        <Empty icon="search" title="This trace is not stored">
          <p>
            <code>{id}</code> was sampled out (of ordinary traces one in ten is kept, unless configured otherwise), is
            older than the retention, or was never received.{" "}
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
