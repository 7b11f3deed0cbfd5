/** The live state of the page: the connection and the newest seconds. React reads it with `useSyncExternalStore`. */

import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";

import { keys } from "../api/queries";
import type { LiveRed, LoopCounts, Overview, StorageState } from "../api/types";
import { foldRed, type RedSecond, type RedWindow } from "./red";
import { LiveSocket, type Connection, type LiveMessage, type SocketLike } from "./socket";

const TOPICS = ["red", "issues", "incidents", "timeline", "runs", "loop", "flags", "storage", "events", "slos"];
const STALE_AFTER_MS = 200;

let connection: Connection = "connecting";
let red: RedWindow = new Map();
const listeners = new Set<() => void>();
const NONE: readonly RedSecond[] = [];

function tell(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => connection);
}

export function useLiveSeconds(service: string): readonly RedSecond[] {
  return useSyncExternalStore(subscribe, () => red.get(service) ?? NONE);
}

/** Gathers what became old for a moment, so that a burst of messages costs one reading. */
function staleMarker(client: QueryClient): (root: string) => void {
  const roots = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;
  return (root) => {
    roots.add(root);
    timer ??= setTimeout(() => {
      timer = null;
      for (const key of roots) void client.invalidateQueries({ queryKey: [key] });
      roots.clear();
    }, STALE_AFTER_MS);
  };
}

function patchOverview(client: QueryClient, patch: Partial<Overview>): void {
  client.setQueryData<Overview>(keys.overview, (old) => (old === undefined ? old : { ...old, ...patch }));
}

function handleMessage(client: QueryClient, stale: (root: string) => void, message: LiveMessage): void {
  switch (message.topic) {
    case "red":
      red = foldRed(red, message.data as LiveRed);
      tell();
      break;
    case "loop":
      patchOverview(client, { loop: message.data as LoopCounts });
      break;
    case "storage":
      patchOverview(client, { storage: message.data as StorageState });
      break;
    case "flags":
      stale("flags");
      break;
    case "issues":
    case "incidents":
      stale("overview");
      stale("incidents");
      break;
    case "timeline":
      stale("timeline");
      stale("incidents");
      break;
    case "runs":
      stale("incidents");
      break;
    case "events":
      stale("events");
      break;
    case "slos":
      stale("slos");
      break;
  }
}

function openSocket(path: string): SocketLike {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url) as unknown as SocketLike;
}

/** Starts the socket; returns how to stop it. */
export function startLive(client: QueryClient): () => void {
  const stale = staleMarker(client);
  const socket = new LiveSocket(
    TOPICS,
    {
      message: (message) => handleMessage(client, stale, message),
      gap: () => void client.invalidateQueries(),
      connection: (state) => {
        connection = state;
        tell();
      },
    },
    openSocket,
  );
  const retry = () => socket.retryNow();
  const whenSeen = () => {
    if (document.visibilityState === "visible") socket.retryNow();
  };
  window.addEventListener("online", retry);
  document.addEventListener("visibilitychange", whenSeen);
  socket.start();
  return () => {
    window.removeEventListener("online", retry);
    document.removeEventListener("visibilitychange", whenSeen);
    socket.stop();
  };
}
