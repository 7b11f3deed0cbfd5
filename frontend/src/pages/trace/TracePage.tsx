import { useEffect, useMemo, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { ApiError } from "../../api/client";
import { useTrace } from "../../api/queries";
import type { Trace } from "../../api/types";
import { colorOf } from "../../lib/colors";
import { dayAndTime, duration, plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { CopyButton } from "../../ui/CopyButton";
import { Icon } from "../../ui/Icon";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { layoutTrace, type Layout } from "./layout";
import { Minimap } from "./Minimap";
import { SpanPanel } from "./SpanPanel";
import { Waterfall } from "./Waterfall";
import "./trace.css";

const ADDRESS_AFTER_MS = 250;

function Head({ trace, layout }: { trace: Trace; layout: Layout }) {
  const root = layout.rows[0]?.span;
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
      </p>
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
      () => setParams(selected === null ? {} : { span: selected }, { replace: true, preventScrollReset: true }),
      ADDRESS_AFTER_MS,
    );
    return () => clearTimeout(timer);
  }, [selected, inAddress, setParams]);
  return [selected, setSelected];
}

function Content({ trace }: { trace: Trace }) {
  const layout = useMemo(() => layoutTrace(trace.spans), [trace]);
  const rowsById = useMemo(() => new Map(layout.rows.map((row) => [row.span.span_id, row])), [layout]);
  const [selected, select] = useSelectedSpan();
  const row = selected === null ? undefined : rowsById.get(selected);
  return (
    <div className="stack">
      <nav aria-label="Breadcrumb" className="crumbs">
        <Link to="/traces">Traces</Link> <span aria-hidden="true">/</span>{" "}
        <span className="quiet">{trace.trace_id.slice(0, 8)}</span>
      </nav>
      <Head trace={trace} layout={layout} />
      <Minimap layout={layout} />
      <div className="trace-columns" data-detail={row !== undefined}>
        <Waterfall layout={layout} selected={selected} onSelect={select} />
        {row !== undefined && <SpanPanel row={row} onClose={() => select(null)} />}
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
