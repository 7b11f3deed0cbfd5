import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { backoffMs, LiveSocket, parseMessage, type Connection, type LiveMessage, type SocketLike } from "./socket";

class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  closed = false;

  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  close(): void {
    this.closed = true;
  }

  say(seq: number, topic: string, data: unknown = {}): void {
    this.onmessage?.({ data: JSON.stringify({ seq, topic, data }) });
  }
}

function setUp() {
  const sockets: FakeSocket[] = [];
  const messages: LiveMessage[] = [];
  const states: Connection[] = [];
  let gaps = 0;
  const live = new LiveSocket(
    ["red", "runs"],
    {
      message: (message) => messages.push(message),
      gap: () => (gaps += 1),
      connection: (state) => states.push(state),
    },
    (path) => {
      const socket = new FakeSocket(path);
      sockets.push(socket);
      return socket;
    },
  );
  live.start();
  const at = (index: number): FakeSocket => {
    const socket = sockets[index];
    if (socket === undefined) throw new Error(`only ${sockets.length} connections were made`);
    return socket;
  };
  return { live, sockets, at, messages, states, gaps: () => gaps };
}

describe("the live socket", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("asks for its topics, and at first for nothing older", () => {
    expect(setUp().at(0).path).toBe("/api/live?topics=red,runs");
  });

  it("comes back behind the last message that it saw", () => {
    const { at, messages, states, gaps } = setUp();
    at(0).say(40, "hello", { resumed: false });
    at(0).say(41, "runs");
    at(0).onclose?.();
    vi.advanceTimersByTime(1_000);
    expect(at(1).path).toBe("/api/live?topics=red,runs&after=41");
    at(1).say(43, "hello", { resumed: true });
    at(1).say(42, "runs");
    expect(messages.map((message) => message.seq)).toEqual([41, 42]);
    expect(states).toEqual(["open", "lost", "open"]);
    expect(gaps()).toBe(0);
  });

  it("reads anew when the server can't resume, and takes the numbers of the new server", () => {
    const { at, gaps } = setUp();
    at(0).say(900, "hello", { resumed: false });
    at(0).onclose?.();
    vi.advanceTimersByTime(1_000);
    at(1).say(3, "hello", { resumed: false });
    expect(gaps()).toBe(1);
    at(1).onclose?.();
    vi.advanceTimersByTime(1_000);
    expect(at(2).path).toContain("after=3");
  });

  it("reads anew at a gap", () => {
    const { at, gaps } = setUp();
    at(0).say(1, "hello", { resumed: false });
    at(0).say(7, "gap");
    expect(gaps()).toBe(1);
  });

  it("ignores what is not a message", () => {
    const { at, messages } = setUp();
    at(0).onmessage?.({ data: "no JSON" });
    at(0).onmessage?.({ data: "{}" });
    at(0).onmessage?.({ data: new ArrayBuffer(2) });
    expect(messages).toEqual([]);
    expect(parseMessage("null")).toBeNull();
  });

  it("waits longer and longer, and does not come back once stopped", () => {
    const { live, at, sockets } = setUp();
    at(0).onclose?.();
    vi.advanceTimersByTime(500);
    at(1).onclose?.();
    vi.advanceTimersByTime(300);
    expect(sockets.length).toBe(2);
    live.stop();
    vi.advanceTimersByTime(60_000);
    expect(sockets.length).toBe(2);
  });

  it("tries at once when told so", () => {
    const { live, at, sockets } = setUp();
    at(0).onclose?.();
    live.retryNow();
    expect(sockets.length).toBe(2);
    live.retryNow();
    expect(sockets.length).toBe(2);
  });
});

describe("backoff", () => {
  it("doubles up to a limit and is spread by half", () => {
    expect(backoffMs(0, 1)).toBe(400);
    expect(backoffMs(0, 0)).toBe(200);
    expect(backoffMs(2, 1)).toBe(1_600);
    expect(backoffMs(50, 1)).toBe(10_000);
  });
});
