import { useEffect } from "react";

import { useOverview } from "../../api/queries";
import type { Overview as OverviewData } from "../../api/types";
import { preloadCharts } from "../../charts/ChartPanel";
import { serviceMarks } from "../../lib/status";
import { usePageTitle } from "../../lib/usePageTitle";
import { ErrorBoundary } from "../../ui/ErrorBoundary";
import { Failed, Skeleton } from "../../ui/States";
import { Status } from "../../ui/Status";
import { Activity } from "./Activity";
import { FlagsPanel } from "./FlagsPanel";
import { Loop } from "./Loop";
import { ModePanel } from "./ModePanel";
import { OpenIncidents } from "./OpenIncidents";
import { RedPanel } from "./RedPanel";
import { Services } from "./Services";
import { Welcome } from "./Welcome";

function Health({ health }: { health: OverviewData["health"] }) {
  return (
    <div className="health">
      <Status mark={serviceMarks[health.status]} strong />
      <p className="health__reason">{health.reason}</p>
      {health.score !== null && (
        <p className="health__score">
          <strong>{Math.round(health.score)}</strong>
          <span className="quiet"> of 100</span>
        </p>
      )}
    </div>
  );
}

function Loading() {
  return (
    <>
      <Skeleton height={125} label="Loading the loop" />
      <Skeleton height={277} label="Loading the charts" />
      <Skeleton height={420} label="Loading the services" />
    </>
  );
}

function Content({ data }: { data: OverviewData }) {
  const silent = data.services.length === 0 && data.loop.observe.spans_total === 0;
  const names = data.services.map((service) => service.service);
  return (
    <>
      <Loop counts={data.loop} mode={data.mode} />
      {silent ? (
        <Welcome />
      ) : (
        <ErrorBoundary what="The traffic">
          <RedPanel services={names} />
        </ErrorBoundary>
      )}
      <div className="overview__columns">
        <div className="overview__incidents">
          <OpenIncidents />
        </div>
        <div className="stack overview__main">
          {!silent && (
            <ErrorBoundary what="The services">
              <Services services={data.services} />
            </ErrorBoundary>
          )}
          <ErrorBoundary what="The activity">
            <Activity />
          </ErrorBoundary>
        </div>
        <div className="stack overview__side">
          <ModePanel mode={data.mode} />
          <FlagsPanel />
        </div>
      </div>
    </>
  );
}

/** The first page: is all well, and if not, what is being done about it. */
export function Overview() {
  usePageTitle("Overview");
  useEffect(preloadCharts, []);
  const overview = useOverview();
  return (
    <div className="stack">
      <div className="page__head">
        <h1>Overview</h1>
        {overview.data === undefined ? <div className="health" /> : <Health health={overview.data.health} />}
      </div>
      {overview.data !== undefined && <Content data={overview.data} />}
      {overview.data === undefined && overview.isPending && <Loading />}
      {overview.data === undefined && overview.isError && (
        <Failed error={overview.error} retry={() => void overview.refetch()} />
      )}
    </div>
  );
}
