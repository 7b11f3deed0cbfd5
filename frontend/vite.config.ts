/// <reference types="vitest/config" />
/**
 * How the dashboard is built: into the Python package, with the style sheet inside the page, each file also packed.
 *
 * The style sheet is put into index.html because the first paint then waits for one answer of the server
 * instead of two; on a slow line that is half a second.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

function inlineEntryStyles(): Plugin {
  return {
    name: "homeostat-inline-entry-styles",
    enforce: "post",
    apply: "build",
    generateBundle(_options, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset") return;
      page.source = String(page.source).replace(
        /<link rel="stylesheet"[^>]*href="\/([^"]+)"[^>]*>/g,
        (tag, file: string) => {
          const sheet = bundle[file];
          return sheet?.type === "asset" ? `<style>${String(sheet.source)}</style>` : tag;
        },
      );
    },
  };
}

/** Pages whose code index.html asks for at once, with the entry's, when it is opened under their address. */
const EARLY_PAGES: Record<string, string> = {
  "src/pages/trace/TracePage.tsx": "^/traces/[0-9a-f]{32}$",
  "src/pages/traces/Traces.tsx": "^/traces$",
  "src/pages/incidents/Incidents.tsx": "^/incidents$",
  "src/pages/incident/IncidentPage.tsx": "^/incidents/[^/]+$",
  "src/pages/map/ServiceMap.tsx": "^/map$",
  "src/pages/logs/Logs.tsx": "^/logs$",
  "src/pages/metrics/Metrics.tsx": "^/metrics-explorer$",
  "src/pages/slos/Slos.tsx": "^/slos$",
  "src/pages/events/Events.tsx": "^/events$",
};

function earlyPages(): Plugin {
  return {
    name: "homeostat-early-pages",
    enforce: "post",
    apply: "build",
    generateBundle(_options, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset") return;
      const chunks = Object.values(bundle).filter((one) => one.type === "chunk");
      const byFile = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
      const files = (file: string, known: Set<string>): Set<string> => {
        const chunk = byFile.get(file);
        if (chunk === undefined || known.has(file)) return known;
        known.add(file);
        for (const sheet of chunk.viteMetadata?.importedCss ?? []) known.add(sheet);
        for (const other of chunk.imports) files(other, known);
        return known;
      };
      const ofEntry = new Set<string>(); // they stand in the page already
      for (const chunk of chunks) if (chunk.isEntry) files(chunk.fileName, ofEntry);
      const early = Object.entries(EARLY_PAGES).map(([source, path]) => {
        const chunk = chunks.find((one) => one.facadeModuleId?.endsWith(source));
        if (chunk === undefined) throw new Error(`${source} has no chunk of its own.`);
        const all = [...files(chunk.fileName, new Set(ofEntry))];
        return [path, all.filter((file) => !ofEntry.has(file)).map((file) => `/${file}`)];
      });
      const script = `<script>
      for (const [path, files] of ${JSON.stringify(early)}) {
        if (!new RegExp(path, "i").test(location.pathname)) continue;
        for (const href of files) {
          const link = document.createElement("link");
          const isCode = href.endsWith(".js");
          Object.assign(link, isCode ? { rel: "modulepreload", crossOrigin: "", href } : { rel: "preload", as: "style", crossOrigin: "", href });
          document.head.append(link);
        }
      }
    </script>`;
      // At the end: the first answer is asked for before them.
      page.source = String(page.source).replace("</head>", () => `${script}\n  </head>`);
    },
  };
}

const PACK_FROM_BYTES = 1_024;
const PACKED = /\.(js|css|html|svg)$/;

/** Every file once more, packed as well as can be: the server sends that instead of packing it when first asked. */
function packedFiles(): Plugin {
  return {
    name: "homeostat-packed-files",
    enforce: "post",
    apply: "build",
    writeBundle({ dir = "." }, bundle) {
      for (const name of Object.keys(bundle).filter((one) => PACKED.test(one))) {
        const body = readFileSync(join(dir, name));
        if (body.length >= PACK_FROM_BYTES) writeFileSync(join(dir, `${name}.gz`), gzipSync(body, { level: 9 }));
      }
    },
  };
}

const server = process.env.HOMEOSTAT_URL ?? "http://127.0.0.1:4000";

export default defineConfig({
  plugins: [react(), inlineEntryStyles(), earlyPages(), packedFiles()],
  build: {
    outDir: process.env.HOMEOSTAT_WEB_OUT ?? "../src/homeostat/web/static",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox121", "safari17.5"],
    chunkSizeWarningLimit: 450,
    rolldownOptions: {
      output: {
        codeSplitting: {
          // Few files at the start of a page: each costs the browser and the server some milliseconds.
          groups: [
            { name: "libraries", test: /node_modules\/(react|react-dom|react-router|scheduler|@tanstack\/(query-core|react-query))\// },
            { name: "common", test: /src\/(api|lib|live|ui)\/.*\.tsx?$/, minShareCount: 2 },
          ],
        },
      },
    },
  },
  server: {
    proxy: { "/api": { target: server, ws: true } },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
