import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";

import { ApiError } from "../../api/client";
import { useTraceColumns } from "../../api/traceColumns";
import { useTracePages } from "../../api/traceQueries";
import { plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Segments } from "../../ui/Segments";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { BottlenecksView } from "./BottlenecksView";
import { CompareBar } from "./CompareBar";
import { DifferencesView } from "./DifferencesView";
import { LatencyView } from "./LatencyView";
import { Results } from "./Results";
import { TracesChart } from "./Scatter";
import { apiParams, readSearch, searchProblem, traceIdOf, writeSearch, type Search } from "./search";
import { SearchForm } from "./SearchForm";
import { usePicked } from "./usePicked";
import "../../styles/analysis.css";
import "./traces.css";

const VIEWS = [
  { value: "list", text: "Traces" },
  { value: "latency", text: "Latency" },
  { value: "differences", text: "What is different" },
  { value: "bottlenecks", text: "Bottlenecks" },
] as const;

type View = (typeof VIEWS)[number]["value"];

function viewOf(params: URLSearchParams): View {
  return VIEWS.find((view) => view.value === params.get("view"))?.value ?? "list";
}

/** What a text that is a trace id means: the way to that trace, or that there is none. */
function ById({ id }: { id: string }) {
  const query = useTraceColumns(id);
  const missing = query.error instanceof ApiError && query.error.status === 404;
  return (
    <p className="results__count" role="status">
      {query.data !== undefined && <Link to={`/traces/${id}`}>Go to trace {id}</Link>}
      {query.isPending && "Looking for the trace of this id …"}
      {query.isError &&
        (missing
          ? `There is no trace ${id}: it may be older than the retention, not have been kept by sampling, or not be here yet.`
          : query.error.message)}
    </p>
  );
}

function Found({ search }: { search: Search }) {
  const query = useTracePages(apiParams(search), searchProblem(search) === null);
  const traces = useMemo(() => query.data?.pages.flatMap((page) => page.traces), [query.data]);
  const picked = usePicked();
  const id = traceIdOf(search.text);
  return (
    <div className="card results-card">
      {id !== null && <ById id={id} />}
      <p className="results__count" role="status">
        {traces !== undefined && traces.length > 0 && `${plural(traces.length, "trace")} found, newest first`}
        {query.hasNextPage && "; there are more"}
      </p>
      {query.isPending && query.isFetching && <Skeleton height={420} label="Searching" />}
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
      {traces !== undefined && traces.length > 0 && (
        <>
          <TracesChart traces={traces} />
          <CompareBar picked={picked.ids} onClear={picked.clear} />
          <Results traces={traces} picked={picked.ids} onPick={picked.toggle} />
          {query.hasNextPage && (
            <div className="results__more">
              <Button onClick={() => void query.fetchNextPage()} disabled={query.isFetchingNextPage}>
                {query.isFetchingNextPage ? "Loading …" : "More traces"}
              </Button>
            </div>
          )}
        </>
      )}
      {traces?.length === 0 && (
        <Empty icon="search" title="No trace fits this search">
          <p>
            Try a longer time, or fewer conditions. Requests that sampling did not keep have no trace here; they count
            under Latency and on the Map all the same.
          </p>
        </Empty>
      )}
    </div>
  );
}

/** Finding traces, and asking questions about many of them. Conditions and view stand in the address. */
export default function Traces() {
  usePageTitle("Traces");
  const [params, setParams] = useSearchParams();
  const address = params.toString();
  const search = useMemo(() => readSearch(new URLSearchParams(address)), [address]);
  const view = viewOf(params);
  const conditions = writeSearch(search).toString();

  const go = (next: Search, to: View) => {
    const wanted = writeSearch(next);
    if (to !== "list") wanted.set("view", to);
    for (const name of ["split", "threshold"]) {
      const value = params.get(name);
      if (to === "differences" && value !== null) wanted.set(name, value);
    }
    setParams(wanted);
  };
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Traces</h1>
      </div>
      <SearchForm key={conditions} search={search} onSearch={(next) => go(next, view)} />
      <Segments label="View" options={VIEWS} value={view} onChange={(to) => go(search, to)} />
      {view === "list" && <Found search={search} />}
      {view === "latency" && (
        <LatencyView
          search={search}
          onNarrow={(change) => go({ ...search, ...change }, "list")}
          onOperation={(operation) => go({ ...search, operation }, "latency")}
        />
      )}
      {view === "differences" && <DifferencesView search={search} />}
      {view === "bottlenecks" && <BottlenecksView search={search} />}
    </div>
  );
}
