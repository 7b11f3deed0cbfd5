import { BrowserRouter, Route, Routes } from "react-router";

import { ROUTES } from "./pages/all";
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
          {ROUTES.map(({ path, page: { Page } }) => (
            // With a key, so that a form that stands under two addresses starts anew.
            <Route key={path} path={path} element={<Page key={path} />} />
          ))}
        </Route>
      </Routes>
    </BrowserRouter>
  );
}
