import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { ApiError } from "./api/client";
import { App } from "./App";
import { restoreTheme } from "./lib/theme";
import { startLive } from "./live/store";
import { loadPageAt } from "./pages/all";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/shell.css";
import "./pages/overview/overview.css";

const RETRIES = 2;

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1_000,
      // What the server refused it refuses again; only a lost connection or a fault of the server is worth a retry.
      retry: (count, error) => count < RETRIES && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
    },
  },
});

restoreTheme();
startLive(client);

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

// Until then index.html says that the page is on its way.
void loadPageAt(location.pathname).then(() =>
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  ),
);
