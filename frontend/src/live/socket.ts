/**
 * The one WebSocket of the page: `/api/live`. It remembers the last sequence number, comes back by itself, and says
 * when messages were lost so that state is read anew.
 */

export interface LiveMessage {
  seq: number;
  topic: string;
  data: unknown;
}

export type Connection = "connecting" | "open" | "lost";

export interface LiveHandlers {
  message: (message: LiveMessage) => void;
  /** Messages were missed: whatever was read before may be old. */
  gap: () => void;
  connection: (state: Connection) => void;
}

/** What the class needs of a WebSocket, so that tests can supply another. */
export interface SocketLike {
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  close: () => void;
}

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;

/** Exponential, with jitter so that many open pages do not come back in one moment. `chance` is 0..1. */
export function backoffMs(attempt: number, chance: number): number {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt);
  return ceiling / 2 + (ceiling / 2) * chance;
}

export function parseMessage(raw: unknown): LiveMessage | null {
  if (typeof raw !== "string") return null;
  try {
    const value = JSON.parse(raw) as Partial<LiveMessage> | null;
    if (value === null || typeof value.seq !== "number" || typeof value.topic !== "string") return null;
    return { seq: value.seq, topic: value.topic, data: value.data };
  } catch {
    return null;
  }
}

export class LiveSocket {
  private socket: SocketLike | null = null;
  private lastSeq: number | null = null;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private stopped = true;
  private readonly topics: readonly string[];
  private readonly handlers: LiveHandlers;
  private readonly open: (path: string) => SocketLike;

  constructor(topics: readonly string[], handlers: LiveHandlers, open: (path: string) => SocketLike) {
    this.topics = topics;
    this.handlers = handlers;
    this.open = open;
  }

  start(): void {
    this.stopped = false;
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.clearTimer();
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  /** Try at once, for example because the browser is online again. */
  retryNow(): void {
    if (this.stopped || this.socket !== null) return;
    this.attempt = 0;
    this.clearTimer();
    this.connect();
  }

  private path(): string {
    const after = this.lastSeq === null ? "" : `&after=${this.lastSeq}`;
    return `/api/live?topics=${this.topics.join(",")}${after}`;
  }

  private connect(): void {
    const socket = this.open(this.path());
    this.socket = socket;
    socket.onmessage = (event) => {
      if (this.socket === socket) this.receive(parseMessage(event.data));
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.handlers.connection("lost");
      this.retryLater();
    };
  }

  private receive(message: LiveMessage | null): void {
    if (message === null) return;
    if (message.topic === "hello") {
      this.welcome(message);
      return;
    }
    if (this.lastSeq === null || message.seq > this.lastSeq) this.lastSeq = message.seq;
    if (message.topic === "gap") this.handlers.gap();
    else this.handlers.message(message);
  }

  private welcome(hello: LiveMessage): void {
    const resumed = (hello.data as { resumed?: boolean } | null)?.resumed === true;
    const returning = this.lastSeq !== null;
    // A server that was started anew counts from the beginning: its numbers say nothing about ours.
    if (!resumed) this.lastSeq = hello.seq;
    this.attempt = 0;
    this.handlers.connection("open");
    if (returning && !resumed) this.handlers.gap();
  }

  private retryLater(): void {
    if (this.stopped) return;
    this.clearTimer();
    this.timer = setTimeout(() => this.connect(), backoffMs(this.attempt, Math.random()));
    this.attempt += 1;
  }

  private clearTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
