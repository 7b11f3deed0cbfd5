/** Every page that comes in a chunk of its own, under which address, and ways to fetch that chunk before it is needed. */

import { createElement, lazy, useState, type ComponentType } from "react";
import { matchRoutes } from "react-router";

interface SplitPage {
  Page: ComponentType;
  load: () => Promise<void>;
  preload: () => void;
}

function page(fetchCode: () => Promise<{ default: ComponentType }>): SplitPage {
  let loaded: ComponentType | undefined;
  const load = async () => {
    loaded = (await fetchCode()).default;
  };
  const Lazy = lazy(fetchCode);
  return {
    // Once the code is there, the page is shown without a place holder in between: React would keep that for 0.3 s.
    Page: function Page() {
      const [chosen] = useState(() => loaded ?? Lazy);
      return createElement(chosen);
    },
    load,
    // A failure is told of when the page is really wanted.
    preload: () => void load().catch(() => undefined),
  };
}

export const pages = {
  incidents: page(() => import("./incidents/Incidents")),
  incident: page(() => import("./incident/IncidentPage")),
  traces: page(() => import("./traces/Traces")),
  compare: page(() => import("./compare/ComparePage")),
  map: page(() => import("./map/ServiceMap")),
  trace: page(() => import("./trace/TracePage")),
  slos: page(() => import("./slos/Slos")),
  slo: page(() => import("./slos/SloPage")),
  sloEdit: page(() => import("./slos/SloEdit")),
  sloImport: page(() => import("./slos/SloImport")),
  logs: page(() => import("./logs/Logs")),
  metrics: page(() => import("./metrics/Metrics")),
  events: page(() => import("./events/Events")),
  notFound: page(() => import("./NotFound")),
};

/** Which of them stands under which address. */
export const ROUTES: readonly { path: string; page: SplitPage }[] = [
  { path: "incidents", page: pages.incidents },
  { path: "incidents/:id", page: pages.incident },
  { path: "traces", page: pages.traces },
  { path: "traces/compare", page: pages.compare },
  { path: "map", page: pages.map },
  { path: "traces/:id", page: pages.trace },
  { path: "slos", page: pages.slos },
  { path: "slos/new", page: pages.sloEdit },
  { path: "slos/import", page: pages.sloImport },
  { path: "slos/:id", page: pages.slo },
  { path: "slos/:id/edit", page: pages.sloEdit },
  { path: "logs", page: pages.logs },
  { path: "metrics-explorer", page: pages.metrics },
  { path: "events", page: pages.events },
  { path: "*", page: pages.notFound },
];

/** Resolves once the code of the page under an address is there, or could not be had: the page itself says so then. */
export async function loadPageAt(pathname: string): Promise<void> {
  const routes = [{ index: true as const, page: undefined }, ...ROUTES];
  const found = matchRoutes(routes, pathname)?.at(-1)?.route.page;
  await found?.load().catch(() => undefined);
}
