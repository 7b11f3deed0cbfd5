/**
 * The services in layers, callers left of what they call. Pure; after Sugiyama, Tagawa and Toda (1981): cut circles,
 * give each service its layer, and order the layers by the mean place of the neighbours.
 */

import type { Dependency } from "../../api/traceTypes";

export const NODE_WIDTH = 220;
export const NODE_HEIGHT = 78;
const GAP_X = 92;
const GAP_Y = 22;
const LABEL_T = 0.62; // along a line, whose control points are half-way: its place, as shares of both distances
const LABEL_X = 1.5 * LABEL_T * (1 - LABEL_T) + LABEL_T ** 3;
const LABEL_Y = 3 * LABEL_T ** 2 - 2 * LABEL_T ** 3;
const MARGIN = 12;
const ALONE_GAP = 44; // services without calls stand in rows below the others, with room for a call to oneself
const ALONE_COLUMNS = 4; // at least
const SWEEPS = 8;

export interface Place {
  service: string;
  layer: number;
  x: number;
  y: number;
}

export interface Wire {
  dependency: Dependency;
  path: string;
  labelX: number;
  labelY: number;
  backward: boolean; // against the direction of the layers: part of a circle
}

export interface Graph {
  places: ReadonlyMap<string, Place>;
  wires: Wire[];
  loops: Wire[]; // calls of a service to itself
  width: number;
  height: number;
}

type Calls = ReadonlyMap<string, readonly string[]>;

function callsOf(services: readonly string[], edges: readonly Dependency[]): Map<string, string[]> {
  const calls = new Map<string, string[]>(services.map((service) => [service, []]));
  for (const { caller, callee } of edges) if (caller !== callee) calls.get(caller)?.push(callee);
  return calls;
}

/** Services in an order in which callers come first; the calls that close a circle are left out of `forward`. */
function withoutCircles(services: readonly string[], calls: Calls, entries: readonly string[]) {
  const state = new Map<string, "open" | "done">();
  const order: string[] = [];
  const forward = new Map<string, string[]>(services.map((service) => [service, []]));
  for (const start of [...entries, ...services]) {
    if (state.has(start)) continue;
    state.set(start, "open");
    const stack = [{ service: start, next: 0 }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const callee = (calls.get(top.service) ?? [])[top.next];
      top.next += 1;
      if (callee === undefined) {
        state.set(top.service, "done");
        order.push(top.service);
        stack.pop();
      } else if (state.get(callee) !== "open") {
        forward.get(top.service)?.push(callee);
        if (!state.has(callee)) {
          state.set(callee, "open");
          stack.push({ service: callee, next: 0 });
        }
      }
    }
  }
  return { order: order.reverse(), forward };
}

function layersOf(order: readonly string[], forward: Calls): string[][] {
  const layer = new Map<string, number>(order.map((service) => [service, 0]));
  for (const service of order) {
    for (const callee of forward.get(service) ?? []) {
      layer.set(callee, Math.max(layer.get(callee) ?? 0, (layer.get(service) ?? 0) + 1));
    }
  }
  const layers: string[][] = [];
  for (const service of order) (layers[layer.get(service) ?? 0] ??= []).push(service);
  return layers;
}

function reversed(calls: Calls): Map<string, string[]> {
  const back = new Map<string, string[]>([...calls.keys()].map((service) => [service, []]));
  for (const [caller, callees] of calls) for (const callee of callees) back.get(callee)?.push(caller);
  return back;
}

/** Moves each service to the mean place of its neighbours, to and fro, so that fewer lines cross. */
function untangle(layers: string[][], forward: Calls): void {
  const callers = reversed(forward);
  const at = new Map<string, number>();
  const note = (layer: readonly string[]) => layer.forEach((service, index) => at.set(service, index - (layer.length - 1) / 2));
  layers.forEach(note);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const neighbours = sweep % 2 === 0 ? callers : forward;
    for (const layer of sweep % 2 === 0 ? layers : layers.toReversed()) {
      const wish = new Map(
        layer.map((service) => {
          const near = neighbours.get(service) ?? [];
          const sum = near.reduce((total, one) => total + (at.get(one) ?? 0), 0);
          return [service, near.length === 0 ? (at.get(service) ?? 0) : sum / near.length];
        }),
      );
      layer.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0));
      note(layer);
    }
  }
}

function wire(dependency: Dependency, from: Place, to: Place): Wire {
  const backward = to.layer <= from.layer;
  const [startX, startY] = [from.x + NODE_WIDTH, from.y + NODE_HEIGHT / 2];
  const [endX, endY] = [to.x, to.y + NODE_HEIGHT / 2];
  const bend = backward ? GAP_X : (endX - startX) / 2;
  // A line back goes out to the right and comes in from the left, below what lies between.
  const drop = backward ? NODE_HEIGHT : 0;
  return {
    dependency,
    path: `M${startX} ${startY}C${startX + bend} ${startY + drop} ${endX - bend} ${endY + drop} ${endX - 5} ${endY}`,
    // Nearer to its end: what leaves one service for several has its words apart.
    labelX: backward ? (startX + endX) / 2 : startX + (endX - startX) * LABEL_X,
    labelY: backward ? (startY + endY) / 2 + drop * 0.75 : startY + (endY - startY) * LABEL_Y,
    backward,
  };
}

/** Calls a second while somebody was counting; null where nobody was. */
export function perSecond(requests: number, seconds: number | null): number | null {
  return seconds === null ? null : requests / Math.max(1, seconds);
}

/** Whether so many errors are drawn as trouble; fewer are only said. */
export function isTrouble(errorRate: number | null): boolean {
  return errorRate !== null && errorRate >= 0.01;
}

/** A call to oneself stands on the upper edge of the node, its words left of it. */
function loop(dependency: Dependency, { x, y }: Place): Wire {
  const [left, right] = [x + NODE_WIDTH - 44, x + NODE_WIDTH - 18];
  return {
    dependency,
    path: `M${left} ${y}C${left - 4} ${y - 14} ${right + 4} ${y - 14} ${right} ${y - 3}`,
    labelX: left - 6,
    labelY: y - 3,
    backward: false,
  };
}

/** Services that nobody calls come first; with circles only, the busiest caller does. */
export function graphOf(services: readonly string[], edges: readonly Dependency[]): Graph {
  const names = [...new Set([...services, ...edges.flatMap((edge) => [edge.caller, edge.callee])])].sort();
  const calls = callsOf(names, edges);
  const linked = new Set(edges.filter((edge) => edge.caller !== edge.callee).flatMap((edge) => [edge.caller, edge.callee]));
  const alone = names.filter((name) => !linked.has(name));
  const called = new Set(edges.filter((edge) => edge.caller !== edge.callee).map((edge) => edge.callee));
  const entries = names.filter((name) => linked.has(name) && !called.has(name));
  const { order, forward } = withoutCircles(names.filter((name) => linked.has(name)), calls, [...entries, ...edges.map((edge) => edge.caller)]);
  const layers = layersOf(order, forward);
  untangle(layers, forward);
  const tallest = Math.max(0, ...layers.map((layer) => layer.length));
  const height = Math.max(0, tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y) + 2 * MARGIN;
  const places = new Map<string, Place>();
  layers.forEach((layer, column) => {
    const top = (height - (layer.length * (NODE_HEIGHT + GAP_Y) - GAP_Y)) / 2;
    layer.forEach((service, row) =>
      places.set(service, {
        service,
        layer: column,
        x: MARGIN + column * (NODE_WIDTH + GAP_X),
        y: top + row * (NODE_HEIGHT + GAP_Y),
      }),
    );
  });
  const wires = edges.flatMap((edge) => {
    const [from, to] = [places.get(edge.caller), places.get(edge.callee)];
    return from === undefined || to === undefined || from === to ? [] : [wire(edge, from, to)];
  });
  const deepest = wires.some((one) => one.backward) ? NODE_HEIGHT : 0;
  const columns = Math.max(layers.length, ALONE_COLUMNS);
  const below = tallest === 0 ? MARGIN : height - MARGIN + deepest + ALONE_GAP;
  alone.forEach((service, index) =>
    places.set(service, {
      service,
      layer: 0,
      x: MARGIN + (index % columns) * (NODE_WIDTH + GAP_X),
      y: below + Math.floor(index / columns) * (NODE_HEIGHT + GAP_Y),
    }),
  );
  const loops = edges.flatMap((edge) => {
    const place = places.get(edge.caller);
    return edge.caller !== edge.callee || place === undefined ? [] : [loop(edge, place)];
  });
  const widest = Math.max(layers.length, Math.min(alone.length, columns));
  const lowest = below + Math.ceil(alone.length / columns) * (NODE_HEIGHT + GAP_Y) - GAP_Y + MARGIN;
  return {
    places,
    wires,
    loops,
    width: 2 * MARGIN + Math.max(0, widest * (NODE_WIDTH + GAP_X) - GAP_X),
    height: alone.length === 0 ? height + deepest : lowest,
  };
}
