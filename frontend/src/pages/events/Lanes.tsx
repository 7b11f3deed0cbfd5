import { useRef } from "react";

import type { EventAnswer, EventType } from "../../api/events";
import { axisTime, dayAndTime } from "../../lib/format";
import { useWidth } from "../../lib/useWidth";
import { eventMark, TYPES } from "./view";

const NAMES: Record<EventType, string> = { incident: "Incidents", alert: "Alerts", anomaly: "Anomalies", deployment: "Changes" };
const LANE = 26;
const LABEL = 92;
const FOOT = 20;
const TICK_PX = 120;

interface Props {
  events: readonly EventAnswer[];
  startMs: number;
  endMs: number;
}

/** The events of the range, a lane for each kind: a dot when one began, a line while it lasts. The list is its table. */
export function Lanes({ events, startMs, endMs }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const room = Math.max(1, width - LABEL - 10);
  const at = (ms: number) => LABEL + (Math.min(endMs, Math.max(startMs, ms)) - startMs) * (room / Math.max(1, endMs - startMs));
  const ticks = Math.max(1, Math.floor(room / TICK_PX));
  const span = (endMs - startMs) / 1_000;
  return (
    <div className="lanes">
      <div ref={box} />
      {width > 0 && (
        <svg width={width} height={TYPES.length * LANE + FOOT} role="img" aria-label="Events over time; the list below has them in words">
          {TYPES.map((type, lane) => (
            <g key={type}>
              <text x={0} y={lane * LANE + 17}>
                {NAMES[type]}
              </text>
              <line x1={LABEL} x2={width} y1={lane * LANE + 13} y2={lane * LANE + 13} stroke="var(--grid)" />
            </g>
          ))}
          {Array.from({ length: ticks + 1 }, (_, tick) => {
            const ms = startMs + ((endMs - startMs) * tick) / (ticks + 1);
            return (
              <text key={tick} x={at(ms)} y={TYPES.length * LANE + 14}>
                {axisTime(new Date(ms), span)}
              </text>
            );
          })}
          {events.map(({ event, lasting }) => {
            const y = TYPES.indexOf(event.type) * LANE + 13;
            const begin = Date.parse(event.time);
            const end = lasting ? endMs : event.ended_at === null ? begin : Date.parse(event.ended_at);
            const { tone } = eventMark(event);
            return (
              <g key={event.id} className={`lane-event status--${tone}`}>
                <title>{`${event.title}, ${dayAndTime(new Date(event.time))}`}</title>
                {end > begin && <line x1={at(begin)} x2={at(end)} y1={y} y2={y} />}
                <circle cx={at(begin)} cy={y} r={5} />
              </g>
            );
          })}
        </svg>
      )}
    </div>
  );
}
