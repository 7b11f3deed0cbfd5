/** Every page that comes in a chunk of its own, and a way to fetch that chunk before it is needed. */

import { lazy, type ComponentType } from "react";

interface LazyPage {
  Page: ComponentType;
  preload: () => void;
}

function page(load: () => Promise<{ default: ComponentType }>): LazyPage {
  return {
    Page: lazy(load),
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
