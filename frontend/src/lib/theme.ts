/** Light, dark, or as the system has it. The choice is kept in this browser. */

import { useSyncExternalStore } from "react";

import { recall, remember } from "./storage";

export type ThemeChoice = "system" | "light" | "dark";

const listeners = new Set<() => void>();
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
systemDark.addEventListener("change", tell);

function tell(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function currentChoice(): ThemeChoice {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

export function chooseTheme(choice: ThemeChoice): void {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  remember("theme", choice === "system" ? null : choice);
  tell();
}

export function useThemeChoice(): ThemeChoice {
  return useSyncExternalStore(subscribe, currentChoice);
}

/** The theme that is on the screen; charts draw with its colours. */
export function useResolvedTheme(): "light" | "dark" {
  return useSyncExternalStore(subscribe, () => {
    const choice = currentChoice();
    if (choice !== "system") return choice;
    return systemDark.matches ? "dark" : "light";
  });
}

/** The choice was applied by index.html before the first paint; this only checks that it is still a valid one. */
export function restoreTheme(): void {
  const kept = recall("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
}
