import { describe, expect, it } from "vitest";

import { graphOf, isTrouble, NODE_HEIGHT, NODE_WIDTH, perSecond } from "./graph";

const call = (caller: string, callee: string) => ({ caller, callee, requests: 1, errors: 0, error_rate: 0, mean_ms: 1 });
const layer = (graph: ReturnType<typeof graphOf>, service: string) => graph.places.get(service)?.layer;

describe("the layers of the map", () => {
  it("put callers left of what they call", () => {
    const graph = graphOf([], [call("gateway", "checkout"), call("checkout", "payment"), call("gateway", "payment")]);
    expect(["gateway", "checkout", "payment"].map((name) => layer(graph, name))).toEqual([0, 1, 2]);
    expect(graph.wires.every((wire) => !wire.backward)).toBe(true);
  });

  it("show services that call nobody and are called by nobody", () => {
    const graph = graphOf(["alone"], []);
    expect(layer(graph, "alone")).toBe(0);
    expect(graph.wires).toEqual([]);
    expect(graphOf([], []).places.size).toBe(0);
  });

  it("cut circles open, and keep the call that closes one as a line back", () => {
    const graph = graphOf([], [call("a", "b"), call("b", "c"), call("c", "a"), call("c", "c")]);
    expect(graph.places.size).toBe(3);
    expect(graph.wires.filter((wire) => wire.backward)).toHaveLength(1);
    expect(graph.wires).toHaveLength(3);
  });

  it("draw the call of a service to itself at its node, also where it calls nobody else", () => {
    const graph = graphOf([], [call("a", "b"), call("b", "b"), call("own", "own")]);
    expect(graph.loops.map((one) => one.dependency.caller)).toEqual(["b", "own"]);
    expect(graph.loops.every((one) => one.labelY > 0 && one.labelX > 0)).toBe(true);
  });

  it("keep services without calls below all others, in their columns, with room for what they call themselves", () => {
    const { places, height, width } = graphOf(["alone"], [call("a", "b"), call("a", "c"), call("b", "a"), call("own", "own")]);
    const lowest = Math.max(...["a", "b", "c"].map((name) => (places.get(name)?.y ?? 0) + NODE_HEIGHT));
    const [alone, own] = [places.get("alone"), places.get("own")];
    expect(Math.min(alone?.y ?? 0, own?.y ?? 0)).toBeGreaterThanOrEqual(lowest + 40);
    expect([alone?.x, own?.x]).toEqual([places.get("a")?.x, places.get("b")?.x]);
    expect([...places.values()].every(({ x, y }) => x + NODE_WIDTH <= width && y + NODE_HEIGHT <= height)).toBe(true);
  });

  it("divide by the seconds in which somebody counted, and call 1 % trouble", () => {
    expect(perSecond(2_700, 180)).toBe(15);
    expect(perSecond(2_700, null)).toBeNull();
    expect([null, 0, 0.0018, 0.01, 0.06].map(isTrouble)).toEqual([false, false, false, true, true]);
  });

  it("never put two services into one place", () => {
    const edges = Array.from({ length: 200 }, (_, n) => call(`s${n % 23}`, `s${(n * 7 + 3) % 41}`));
    const { places } = graphOf([], edges);
    expect(new Set([...places.values()].map(({ x, y }) => `${x} ${y}`)).size).toBe(places.size);
  });

  it("hold a chain of 2,000 services", () => {
    const edges = Array.from({ length: 2_000 }, (_, n) => call(`s${n}`, `s${n + 1}`));
    expect(layer(graphOf([], edges), "s2000")).toBe(2_000);
  });
});
