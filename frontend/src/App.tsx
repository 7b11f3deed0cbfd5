import { lazy } from "react";
import { BrowserRouter, Route, Routes } from "react-router";

import { Overview } from "./pages/overview/Overview";
import { Layout } from "./shell/Layout";

const Incidents = lazy(() => import("./pages/incidents/Incidents"));
const IncidentPage = lazy(() => import("./pages/incident/IncidentPage"));
const Traces = lazy(() => import("./pages/traces/Traces"));
const ComparePage = lazy(() => import("./pages/compare/ComparePage"));
const ServiceMap = lazy(() => import("./pages/map/ServiceMap"));
const TracePage = lazy(() => import("./pages/trace/TracePage"));
const Slos = lazy(() => import("./pages/slos/Slos"));
const SloPage = lazy(() => import("./pages/slos/SloPage"));
const SloEdit = lazy(() => import("./pages/slos/SloEdit"));
const SloImport = lazy(() => import("./pages/slos/SloImport"));
const Logs = lazy(() => import("./pages/logs/Logs"));
const Metrics = lazy(() => import("./pages/metrics/Metrics"));
const Events = lazy(() => import("./pages/events/Events"));
const NotFound = lazy(() => import("./pages/NotFound"));

/** Which page stands under which address. */
export function App() {
  return (
    // Filters and check boxes live in the address. As a transition, a change of it would come a moment after the key
    // or the click, and until then React would put the old value back: a letter typed in between would be lost.
    <BrowserRouter useTransitions={false}>
      <Routes>
        <Route element={<Layout />}>
          <Route index element={<Overview />} />
          <Route path="incidents" element={<Incidents />} />
          <Route path="incidents/:id" element={<IncidentPage />} />
          <Route path="traces" element={<Traces />} />
          <Route path="traces/compare" element={<ComparePage />} />
          <Route path="map" element={<ServiceMap />} />
          <Route path="traces/:id" element={<TracePage />} />
          <Route path="slos" element={<Slos />} />
          <Route path="slos/new" element={<SloEdit key="new" />} />
          <Route path="slos/import" element={<SloImport />} />
          <Route path="slos/:id" element={<SloPage />} />
          <Route path="slos/:id/edit" element={<SloEdit />} />
          <Route path="logs" element={<Logs />} />
          <Route path="metrics-explorer" element={<Metrics />} />
          <Route path="events" element={<Events />} />
          <Route path="*" element={<NotFound />} />
        </Route>
      </Routes>
    </BrowserRouter>
  );
}
