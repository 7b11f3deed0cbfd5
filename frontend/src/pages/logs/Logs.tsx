import { useCallback, useMemo, useState } from "react";
import { useSearchParams } from "react-router";

import { withParams, type Params } from "../../api/client";
import { useLogCounts, useLogPatterns, useLogs, type LogPattern } from "../../api/logs";
import { compactCount } from "../../lib/format";
import { between } from "../../lib/range";
import { usePageTitle } from "../../lib/usePageTitle";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Segments";
import { OtlpAddresses } from "../../ui/OtlpAddresses";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { Histogram } from "./Histogram";
import { LogForm } from "./LogForm";
import { Patterns } from "./Patterns";
import { Records } from "./Records";
import { apiParams, NO_SEARCH, readSearch, searchProblem, writeSearch, type LogSearch } from "./search";
import "./logs.css";

const TAIL_MS = 2_000;
const WORDS_OF_TEMPLATE = 6;
const FORMATS = ["ndjson", "csv", "parquet"] as const;

function Export({ params }: { params: Params }) {
  return (
    <div className="controls log-export">
      <span className="quiet">Export all as</span>
      {FORMATS.map((format) => (
        <a key={format} className="button button--quiet" download href={withParams("/api/logs/export", { ...params, format })}>
          <Icon name="down" size={14} /> {format === "parquet" ? "Parquet" : format.toUpperCase()}
        </a>
      ))}
    </div>
  );
}

function Nothing({ search }: { search: LogSearch }) {
  const plain = JSON.stringify({ ...search, range: null }) === JSON.stringify({ ...NO_SEARCH, range: null });
  return plain ? (
    <Empty icon="search" title="No log record in this time">
      <p>
        Send OpenTelemetry log records to the same address as traces, <OtlpAddresses />; they are searched here and linked to their traces. Or look at a longer time.
      </p>
    </Empty>
  ) : (
    <Empty icon="search" title="No record fits this search">
      <p>Try a longer time, or fewer conditions.</p>
    </Empty>
  );
}

function RecordsTab({ search, params, tail, onFilter }: { search: LogSearch; params: Params; tail: boolean; onFilter: (pair: string) => void }) {
  const query = useLogs(params, searchProblem(search) === null, tail ? TAIL_MS : false);
  const { fetchNextPage } = query;
  const records = useMemo(() => query.data?.pages.flatMap((page) => page.records) ?? [], [query.data]);
  const more = useCallback(() => void fetchNextPage(), [fetchNextPage]);
  return (
    <>
      {query.isPending && query.isFetching && <Skeleton height={420} label="Searching" />}
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
      {records.length > 0 && (
        <Records records={records} more={query.hasNextPage} loading={query.isFetchingNextPage} stale={query.isPlaceholderData} onMore={more} onFilter={onFilter} />
      )}
      {query.data !== undefined && records.length === 0 && <Nothing search={search} />}
    </>
  );
}

function PatternsTab({ search, params, onSearch, onFilter }: { search: LogSearch; params: Params; onSearch: (pattern: LogPattern) => void; onFilter: (pair: string) => void }) {
  const query = useLogPatterns(params, searchProblem(search) === null);
  return (
    <>
      {query.isPending && query.isFetching && <Skeleton height={420} label="Looking for patterns" />}
      {query.isError && <Failed error={query.error} retry={() => void query.refetch()} />}
      {query.data !== undefined && <Patterns answer={query.data} onSearch={onSearch} onFilter={onFilter} />}
    </>
  );
}

/** Finding log records: the histogram narrows the time, the tabs show single records or what they have in common. */
export default function Logs() {
  usePageTitle("Logs");
  const [address, setAddress] = useSearchParams();
  const text = address.toString();
  const search = useMemo(() => readSearch(new URLSearchParams(text)), [text]);
  const params = useMemo(() => apiParams(search), [search]);
  const [asTable, setAsTable] = useState(false);
  const tab = address.get("tab") === "patterns" ? "patterns" : "records";
  const relative = search.range.minutes !== "";
  const tail = address.get("tail") === "on" && relative && tab === "records";
  const problem = searchProblem(search);
  const counts = useLogCounts(params, problem === null, tail ? TAIL_MS : false);

  const find = (next: LogSearch) => {
    const wanted = writeSearch(address, next);
    // The same search again means: look whether there is something new.
    if (wanted.toString() === text) void counts.refetch();
    else setAddress(wanted);
  };
  const set = (key: string, value: string) =>
    setAddress(
      (old) => {
        const next = new URLSearchParams(old);
        if (value === "") next.delete(key);
        else next.set(key, value);
        return next;
      },
      { replace: true },
    );
  const onFilter = (pair: string) => find({ ...search, attributes: [...new Set([...search.attributes, pair])] });
  const findPattern = (pattern: LogPattern) => {
    const words = pattern.template.replace(/<[A-Z_*]+>/g, " ").match(/[\p{L}\d]{2,}/gu) ?? [];
    const next = new URLSearchParams(address);
    next.delete("tab");
    setAddress(writeSearch(next, { ...search, service: pattern.service, text: words.slice(0, WORDS_OF_TEMPLATE).join(" ") }));
  };
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Logs</h1>
        <span className="quiet" role="status">
          {counts.data !== undefined && `${compactCount(counts.data.total)} found`}
        </span>
      </div>
      <LogForm key={text} search={search} busy={counts.isFetching && !tail} onSearch={find} />
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <section className="card log-card" aria-label="Records over time">
        <div className="controls log-card__head">
          <Segments
            label="Show"
            options={[
              { value: "records", text: "Records" },
              { value: "patterns", text: "Patterns" },
            ]}
            value={tab}
            onChange={(value) => set("tab", value === "records" ? "" : value)}
          />
          {tab === "records" && (
            <Button look={tail ? "primary" : "plain"} aria-pressed={tail} disabled={!relative} title={relative ? undefined : "Choose a relative time to follow what comes"} onClick={() => set("tail", tail ? "" : "on")}>
              <Icon name="pulse" size={14} /> {tail ? "Following" : "Follow"}
            </Button>
          )}
          <Button look="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            <Icon name={asTable ? "chart" : "table"} size={14} /> {asTable ? "Show as chart" : "Show as table"}
          </Button>
          <Export params={params} />
        </div>
        {counts.isError && <Failed error={counts.error} retry={() => void counts.refetch()} />}
        {counts.data !== undefined && counts.data.total > 0 && (
          <Histogram counts={counts.data} asTable={asTable} onRange={(start, end) => find({ ...search, range: between(start, end) })} />
        )}
      </section>
      <div className="card log-results">
        {tab === "records" ? (
          <RecordsTab search={search} params={params} tail={tail} onFilter={onFilter} />
        ) : (
          <PatternsTab search={search} params={params} onSearch={findPattern} onFilter={onFilter} />
        )}
      </div>
    </div>
  );
}
