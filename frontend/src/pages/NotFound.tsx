import { Link, useLocation } from "react-router";

import { usePageTitle } from "../lib/usePageTitle";
import { Empty } from "../ui/States";

export default function NotFound() {
  const { pathname } = useLocation();
  usePageTitle("Not found");
  return (
    <>
      <h1 className="sr-only">Not found</h1>
      <Empty icon="search" title="There is no page here">
        <p>
          Nothing is served under <code>{pathname}</code>.
        </p>
        <p className="empty__links">
          <Link to="/">Overview</Link>
          <Link to="/incidents">Incidents</Link>
          <Link to="/traces">Traces</Link>
        </p>
      </Empty>
    </>
  );
}
