import { BrowserRouter, Route, Routes } from "react-router";

import { pages } from "./pages/all";
import { Overview } from "./pages/overview/Overview";
import { Layout } from "./shell/Layout";

/** Which page stands under which address. */
export function App() {
  return (
    // Filters and check boxes live in the address. As a transition, a change of it would come a moment after the key
    // or the click, and until then React would put the old value back: a letter typed in between would be lost.
    <BrowserRouter useTransitions={false}>
      <Routes>
        <Route element={<Layout />}>
          <Route index element={<Overview />} />
          <Route path="incidents" element={<pages.incidents.Page />} />
          <Route path="incidents/:id" element={<pages.incident.Page />} />
          <Route path="traces" element={<pages.traces.Page />} />
          <Route path="traces/compare" element={<pages.compare.Page />} />
          <Route path="map" element={<pages.map.Page />} />
          <Route path="traces/:id" element={<pages.trace.Page />} />
          <Route path="slos" element={<pages.slos.Page />} />
          <Route path="slos/new" element={<pages.sloEdit.Page key="new" />} />
          <Route path="slos/import" element={<pages.sloImport.Page />} />
          <Route path="slos/:id" element={<pages.slo.Page />} />
          <Route path="slos/:id/edit" element={<pages.sloEdit.Page />} />
          <Route path="logs" element={<pages.logs.Page />} />
          <Route path="metrics-explorer" element={<pages.metrics.Page />} />
          <Route path="events" element={<pages.events.Page />} />
          <Route path="*" element={<pages.notFound.Page />} />
        </Route>
      </Routes>
    </BrowserRouter>
  );
}
