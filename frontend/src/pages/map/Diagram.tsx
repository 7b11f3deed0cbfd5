import { useMemo, useRef } from "react";

import type { Dependencies, RequestFigures } from "../../api/traceTypes";
import type { ServiceStatus } from "../../api/types";
import { duration, percent, rate } from "../../lib/format";
import { serviceMarks } from "../../lib/status";
import { useWidth } from "../../lib/useWidth";
import { ServiceName } from "../../ui/ServiceName";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";
import { graphOf, isTrouble, NODE_HEIGHT, NODE_WIDTH, perSecond, type Place, type Wire } from "./graph";

const THINNEST = 1.25;
const PER_DECADE = 0.8;
/** A map that is a little too wide is made smaller; one that is much too wide is scrolled. */
const SMALLEST = 0.74;
const PADDING = 16;

interface Props {
  data: Dependencies;
  figures: ReadonlyMap<string, RequestFigures>;
  health: ReadonlyMap<string, ServiceStatus>;
  seconds: number | null;
  chosen: string | null;
  onChoose: (service: string) => void;
}

interface LineProps {
  wire: Wire;
  seconds: number | null;
  faded: boolean;
}

const rateText = (wire: Wire, seconds: number | null): string => {
  const calls = perSecond(wire.dependency.requests, seconds);
  return calls === null ? "" : `${rate(calls)}/s`;
};

function outcome({ dependency: { error_rate: errorRate, mean_ms: meanMs } }: Wire): string {
  if (errorRate !== null && errorRate > 0) return `${percent(errorRate)} failed`;
  return meanMs === null ? "" : duration(meanMs);
}

function Arrow({ wire }: { wire: Wire }) {
  const { requests, error_rate: errorRate } = wire.dependency;
  return (
    <path
      d={wire.path}
      markerEnd={`url(#arrow${isTrouble(errorRate) ? "-bad" : ""})`}
      strokeWidth={THINNEST + PER_DECADE * Math.log10(1 + requests)}
      strokeDasharray={wire.backward ? "7 5" : undefined}
    />
  );
}

function Line({ wire, seconds, faded }: LineProps) {
  const { errors, error_rate: errorRate } = wire.dependency;
  return (
    <g className="line" data-bad={isTrouble(errorRate)} data-errors={errors > 0} data-faded={faded}>
      <Arrow wire={wire} />
      <text x={wire.labelX} y={wire.labelY - 7} textAnchor="middle">
        {rateText(wire, seconds)}
      </text>
      <text x={wire.labelX} y={wire.labelY + 16} textAnchor="middle">
        {outcome(wire)}
      </text>
    </g>
  );
}

function Loop({ wire, seconds, faded }: LineProps) {
  const { errors, error_rate: errorRate } = wire.dependency;
  return (
    <g className="line" data-bad={isTrouble(errorRate)} data-errors={errors > 0} data-faded={faded}>
      <Arrow wire={wire} />
      <text x={wire.labelX} y={wire.labelY} textAnchor="end">
        {["calls itself", rateText(wire, seconds), outcome(wire)].filter((word) => word !== "").join(" · ")}
      </text>
    </g>
  );
}

interface NodeProps {
  place: Place;
  figures: RequestFigures | undefined;
  status: ServiceStatus | undefined;
  seconds: number | null;
  chosen: boolean;
  faded: boolean;
  onChoose: (service: string) => void;
}

function Node({ place, figures, status, seconds, chosen, faded, onChoose }: NodeProps) {
  const served = figures === undefined ? null : perSecond(figures.requests, seconds);
  return (
    <li style={{ left: place.x, top: place.y, width: NODE_WIDTH, height: NODE_HEIGHT }}>
      <button type="button" className="node" aria-pressed={chosen} data-faded={faded} onClick={() => onChoose(place.service)}>
        <span className="node__head">
          <strong>
            <ServiceName name={place.service} />
          </strong>
          {status !== undefined && <Status mark={serviceMarks[status]} />}
        </span>
        <span className="node__figures">
          <span>
            <Value of={served} as={rate} />
            /s
          </span>
          <span data-tone={(figures?.error_rate ?? 0) > 0 ? "bad" : undefined}>
            <Value of={figures?.error_rate} as={percent} />
            <span className="quiet"> err</span>
          </span>
          <span>
            <span className="quiet">P95 </span>
            <Value of={figures?.p95_ms} as={duration} />
          </span>
        </span>
      </button>
    </li>
  );
}

const keyOf = ({ dependency: { caller, callee } }: Wire): string => `${caller} ${callee}`;

/** The picture. Lines are decoration: the table of calls below says the same; services are buttons. */
export function Diagram({ data, figures, health, seconds, chosen, onChoose }: Props) {
  const graph = useMemo(() => graphOf(data.services.map((one) => one.service), data.dependencies), [data]);
  const near = useMemo(() => {
    if (chosen === null) return null;
    const touching = data.dependencies.filter((edge) => edge.caller === chosen || edge.callee === chosen);
    return new Set([chosen, ...touching.flatMap((edge) => [edge.caller, edge.callee])]);
  }, [data, chosen]);
  const isFar = ({ dependency: { caller, callee } }: Wire) => chosen !== null && caller !== chosen && callee !== chosen;
  const box = useRef<HTMLElement>(null);
  const room = useWidth(box) - PADDING;
  const zoom = room <= 0 ? 1 : Math.min(1, Math.max(SMALLEST, room / graph.width));
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <section ref={box} className="card diagram" aria-label="Map" tabIndex={0} data-cut={room > 0 && graph.width * zoom > room + 1}>
      <div className="diagram__sheet" style={{ width: graph.width, height: graph.height, zoom }}>
        <svg width={graph.width} height={graph.height} aria-hidden="true">
          <defs>
            {["", "-bad"].map((kind) => (
              <marker key={kind} id={`arrow${kind}`} viewBox="0 0 8 8" refX="4" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">
                <path d="M0 0L8 4L0 8z" className={`arrow${kind}`} />
              </marker>
            ))}
          </defs>
          {graph.wires.map((wire) => (
            <Line key={keyOf(wire)} wire={wire} seconds={seconds} faded={isFar(wire)} />
          ))}
          {graph.loops.map((wire) => (
            <Loop key={keyOf(wire)} wire={wire} seconds={seconds} faded={isFar(wire)} />
          ))}
        </svg>
        <ul aria-label="Services">
          {[...graph.places.values()].map((place) => (
            <Node
              key={place.service}
              place={place}
              figures={figures.get(place.service)}
              status={health.get(place.service)}
              seconds={seconds}
              chosen={place.service === chosen}
              faded={near !== null && !near.has(place.service)}
              onChoose={onChoose}
            />
          ))}
        </ul>
      </div>
    </section>
  );
}
