import { lazy } from "react";
import { BrowserRouter, Route, Routes } from "react-router";

import { Overview } from "./pages/overview/Overview";
import { Layout } from "./shell/Layout";

const Incidents = lazy(() => import("./pages/incidents/Incidents"));
const IncidentPage = lazy(() => import("./pages/incident/IncidentPage"));
const Traces = lazy(() => import("./pages/traces/Traces"));
const TracePage = lazy(() => import("./pages/trace/TracePage"));
const NotFound = lazy(() => import("./pages/NotFound"));

/** Which page stands under which address. */
export function App() {
  return (
    <BrowserRouter>
      <Routes>
        <Route element={<Layout />}>
          <Route index element={<Overview />} />
          <Route path="incidents" element={<Incidents />} />
          <Route path="incidents/:id" element={<IncidentPage />} />
          <Route path="traces" element={<Traces />} />
          <Route path="traces/:id" element={<TracePage />} />
          <Route path="*" element={<NotFound />} />
        </Route>
      </Routes>
    </BrowserRouter>
  );
}
