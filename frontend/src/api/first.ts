/** The answer that index.html asked for before this code had arrived. It is used once. */

import type { Overview } from "./types";

declare global {
  interface Window {
    homeostatFirst?: Promise<Overview | null> | undefined;
  }
}

export async function takeFirstOverview(): Promise<Overview | null> {
  const first = window.homeostatFirst;
  window.homeostatFirst = undefined;
  return first === undefined ? null : await first;
}
