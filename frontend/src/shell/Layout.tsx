import { Suspense, useEffect, useRef } from "react";
import { NavLink, Outlet, useLocation } from "react-router";

import { OPEN_INCIDENTS_MAX, useIncidents } from "../api/queries";
import { pages } from "../pages/all";
import { ErrorBoundary } from "../ui/ErrorBoundary";
import { Skeleton } from "../ui/States";
import { Banners } from "./Banners";
import { ThemeSwitch } from "./ThemeSwitch";

function Brand() {
  return (
    <NavLink to="/" className="brand" aria-label="Homeostat, overview">
      <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" fill="var(--accent)" />
        <path
          d="M5 18h5l3-8 6 14 3-9 1.500 3H27"
          fill="none"
          stroke="var(--on-accent)"
          strokeWidth="2.600"
          strokeLinecap="round"
          strokeLinejoin="round"
        />
      </svg>
      <span>Homeostat</span>
    </NavLink>
  );
}

function OpenCount() {
  const { data } = useIncidents(true);
  const open = data?.length ?? 0;
  if (open === 0) return null;
  return (
    <span className="nav__count">
      {open >= OPEN_INCIDENTS_MAX ? `${OPEN_INCIDENTS_MAX}+` : open}
      <span className="sr-only"> open</span>
    </span>
  );
}

const SECTIONS = [
  { to: "/incidents", text: "Incidents", page: pages.incidents, aside: <OpenCount /> },
  { to: "/traces", text: "Traces", page: pages.traces },
  { to: "/map", text: "Map", page: pages.map },
  { to: "/logs", text: "Logs", page: pages.logs },
  { to: "/metrics-explorer", text: "Metrics", page: pages.metrics },
  { to: "/slos", text: "SLOs", page: pages.slos },
  { to: "/events", text: "Events", page: pages.events },
];

/** What surrounds every page. */
export function Layout() {
  const { pathname } = useLocation();
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a narrow screen the names are swiped: the present one is brought into sight, with the one before it.
    const active = nav.current?.querySelector<HTMLElement>("a.active");
    const first = active?.previousElementSibling ?? active;
    if (nav.current !== null && first instanceof HTMLElement) nav.current.scrollLeft = first.offsetLeft - nav.current.offsetLeft;
  }, [pathname]);
  return (
    <div className="shell">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header className="topbar">
        <div className="topbar__inner">
          <Brand />
          <nav ref={nav} className="nav" aria-label="Main">
            <NavLink to="/" end>
              Overview
            </NavLink>
            {SECTIONS.map(({ to, text, page, aside }) => (
              // Whoever points at it will often want it: its code is then there when it is chosen.
              <NavLink key={to} to={to} onPointerEnter={page.preload} onFocus={page.preload}>
                {text}
                {aside}
              </NavLink>
            ))}
          </nav>
          <ThemeSwitch />
        </div>
      </header>
      <Banners />
      <main className="page" id="content" tabIndex={-1}>
        <ErrorBoundary key={pathname} what="This page">
          <Suspense fallback={<Skeleton height={420} label="Loading the page" />}>
            <Outlet />
          </Suspense>
        </ErrorBoundary>
      </main>
    </div>
  );
}
