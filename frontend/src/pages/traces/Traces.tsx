import { useMemo } from "react";
import { useSearchParams } from "react-router";

import { useTraceSearch } from "../../api/queries";
import { plural } from "../../lib/format";
import { usePageTitle } from "../../lib/usePageTitle";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Results } from "./Results";
import { Scatter } from "./Scatter";
import { apiParams, readSearch, searchProblem, writeSearch } from "./search";
import { SearchForm } from "./SearchForm";
import "./traces.css";

/** Finding traces. */
export default function Traces() {
  usePageTitle("Traces");
  const [params, setParams] = useSearchParams();
  const address = params.toString();
  const search = useMemo(() => readSearch(new URLSearchParams(address)), [address]);
  const query = useTraceSearch(apiParams(search), searchProblem(search) === null);
  const traces = query.data?.traces;
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Traces</h1>
        <span className="quiet" role="status">
          {traces !== undefined && `${plural(traces.length, "trace")} found`}
          {traces?.length === Number(search.limit) && ", there may be more"}
        </span>
      </div>
      <SearchForm
        key={address}
        search={search}
        busy={query.isFetching}
        onSearch={(next) => {
          const wanted = writeSearch(next);
          // The same search again means: look whether there is something new.
          if (wanted.toString() === writeSearch(search).toString()) void query.refetch();
          else setParams(wanted);
        }}
      />
      <div className="card results-card">
        {query.isPending && query.isFetching && <Skeleton height={420} label="Searching" />}
        {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
        {traces !== undefined && traces.length > 0 && (
          <>
            <Scatter traces={traces} />
            <Results traces={traces} />
          </>
        )}
        {traces?.length === 0 && (
          <Empty icon="search" title="No trace fits this search">
            <p>Try a longer time, or fewer conditions.</p>
          </Empty>
        )}
      </div>
    </div>
  );
}
