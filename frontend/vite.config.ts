/// <reference types="vitest/config" />
/**
 * How the dashboard is built: into the Python package, with the style sheet inside the page.
 *
 * The style sheet is put into index.html because the first paint then waits for one answer of the server
 * instead of two; on a slow line that is half a second.
 */
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

const server = process.env.HOMEOSTAT_URL ?? "http://127.0.0.1:4000";

export default defineConfig({
  plugins: [react(), inlineEntryStyles()],
  build: {
    outDir: process.env.HOMEOSTAT_WEB_OUT ?? "../src/homeostat/web/static",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox121", "safari17.5"],
    chunkSizeWarningLimit: 450,
  },
  server: {
    proxy: { "/api": { target: server, ws: true } },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
