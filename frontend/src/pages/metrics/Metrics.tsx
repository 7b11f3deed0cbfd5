import { useMemo } from "react";
import { Link, useSearchParams } from "react-router";

import { useMetricsCatalog, type MetricInfo } from "../../api/metrics";
import { plural } from "../../lib/format";
import { writeRange } from "../../lib/range";
import { usePageTitle } from "../../lib/usePageTitle";
import { MetricName } from "../../ui/MetricName";
import { OtlpAddresses } from "../../ui/OtlpAddresses";
import { Empty, Failed, Skeleton } from "../../ui/States";
import { MetricPanel } from "./MetricPanel";
import { matching, ownLast, readView, USUAL_MINUTES, type View } from "./view";
import "./metrics.css";

const CATALOG_MINUTES = 1_440;
const SHOWN = 300;

function Catalog({ metrics, chosen, address }: { metrics: readonly MetricInfo[]; chosen: string; address: URLSearchParams }) {
  const to = (name: string) => {
    const next = new URLSearchParams();
    for (const kept of ["q", "minutes", "start", "end"]) {
      const value = address.get(kept);
      if (value !== null) next.set(kept, value);
    }
    next.set("name", name);
    return `/metrics-explorer?${next.toString()}`;
  };
  return (
    <>
      <ul className="metric-list" aria-label="Metrics">
        {metrics.slice(0, SHOWN).map((metric) => (
          <li key={metric.name}>
            <Link to={to(metric.name)} aria-current={metric.name === chosen ? "true" : undefined}>
              <span className="metric-list__name">
                <MetricName name={metric.name} />
              </span>
              <span className="quiet">
                {metric.type.replaceAll("_", " ")} · {metric.services.slice(0, 3).join(", ")}
                {metric.services.length > 3 && ` and ${metric.services.length - 3} more`}
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {metrics.length > SHOWN && <p className="quiet metric-more">{metrics.length - SHOWN} more: search for them.</p>}
    </>
  );
}

/** The metrics that are known, and one of them over time. Not under /metrics: there Prometheus reads its text. */
export default function Metrics() {
  usePageTitle("Metrics");
  const [address, setAddress] = useSearchParams();
  const text = address.toString();
  const view = useMemo(() => readView(new URLSearchParams(text)), [text]);
  const words = address.get("q") ?? "";
  const catalog = useMetricsCatalog(CATALOG_MINUTES);
  const shown = useMemo(() => ownLast(matching(catalog.data ?? [], words)), [catalog.data, words]);
  const name = view.name === "" ? (shown[0]?.name ?? "") : view.name;
  const metric = catalog.data?.find((one) => one.name === name);

  const setWords = (value: string) =>
    setAddress(
      (old) => {
        const next = new URLSearchParams(old);
        if (value === "") next.delete("q");
        else next.set("q", value);
        return next;
      },
      { replace: true },
    );
  const set = (change: Partial<View>) =>
    setAddress((old) => {
      const next = new URLSearchParams(old);
      const whole = { ...view, name, ...change };
      const fields = { name: whole.name, service: whole.service, aggregation: whole.aggregation, group_by: whole.groupBy, quantile: whole.quantile === "0.95" ? "" : whole.quantile };
      for (const [key, value] of Object.entries(fields)) {
        if (value === "") next.delete(key);
        else next.set(key, value);
      }
      writeRange(next, whole.range, USUAL_MINUTES);
      return next;
    });
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Metrics</h1>
        <span className="quiet" role="status">
          {catalog.data !== undefined && `${plural(catalog.data.length, "metric")} in the last day`}
        </span>
      </div>
      {catalog.isPending && <Skeleton height={420} label="Loading the metrics" />}
      {catalog.isError && catalog.data === undefined && <Failed error={catalog.error} retry={() => void catalog.refetch()} />}
      {catalog.data?.length === 0 && (
        <div className="card">
          <Empty icon="gauge" title="No metric yet">
            <p>
              Send OpenTelemetry metrics to the same address as traces, <OtlpAddresses />, write to it from a Prometheus, or name targets under <code>metrics.scrape</code>.
            </p>
          </Empty>
        </div>
      )}
      {catalog.data !== undefined && catalog.data.length > 0 && (
        <div className="metric-columns">
          <section className="card metric-catalog" aria-label="Catalog">
            <input type="search" aria-label="Search the metrics" placeholder="Search the metrics" value={words} onChange={(event) => setWords(event.target.value)} />
            <Catalog metrics={shown} chosen={name} address={address} />
            {shown.length === 0 && <p className="quiet metric-more">No metric fits.</p>}
          </section>
          <div className="stack">
            {metric !== undefined && <MetricPanel key={metric.name} metric={metric} view={{ ...view, name }} set={set} />}
            {metric === undefined && name !== "" && (
              <Empty icon="search" title="There is no such metric">
                <p>
                  <code>{name}</code> had no point in the last day.
                </p>
              </Empty>
            )}
          </div>
        </div>
      )}
    </div>
  );
}
