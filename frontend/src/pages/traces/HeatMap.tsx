import { useMemo, useRef } from "react";

import type { Bucket, Latency } from "../../api/traceTypes";
import { clockTime, duration, plural } from "../../lib/format";
import { useWidth } from "../../lib/useWidth";
import { cellsOf, narrowedTo, type Narrowed } from "./heat";

const ROW_PX = 18;
const LEFT = 66;
const BOTTOM = 22;
const LABELS_EVERY_PX = 120;
const FAINTEST = 0.14;

interface Props {
  latency: Latency;
  onNarrow: (to: Narrowed) => void;
}

function bucketName({ lower_ms, upper_ms }: Bucket): string {
  return upper_ms === null ? `over ${duration(lower_ms)}` : `${duration(lower_ms)} to ${duration(upper_ms)}`;
}

/** How many requests took how long, over time. The table beside it says the same and is the way for the keyboard. */
export function HeatMap({ latency, onNarrow }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const cells = useMemo(() => cellsOf(latency), [latency]);
  const { buckets, points, step_s: stepS } = latency;
  const height = buckets.length * ROW_PX;
  const columnPx = (width - LEFT) / Math.max(1, points.length);
  const labelEvery = Math.max(1, Math.ceil(LABELS_EVERY_PX / Math.max(1, columnPx)));
  return (
    <div ref={box} className="heat" style={{ height: height + BOTTOM }}>
      {width > 0 && (
        <svg width={width} height={height + BOTTOM} role="img" aria-label="Requests by duration over time; the table has the numbers">
          {buckets.map((bucket, row) => (
            <text key={bucket.lower_ms} x={LEFT - 8} y={height - row * ROW_PX - 5} textAnchor="end">
              {row % 2 === 0 ? duration(bucket.lower_ms) : ""}
            </text>
          ))}
          {points.map((point, column) =>
            point.counts === null ? (
              <rect
                key={point.time}
                className="heat__unknown"
                x={LEFT + column * columnPx}
                y={0}
                width={columnPx}
                height={height}
              />
            ) : null,
          )}
          {cells.map(({ column, row, count, strength }) => {
            const [bucket, point] = [buckets[row], points[column]];
            if (bucket === undefined || point === undefined) return null;
            return (
              <rect
                key={`${column} ${row}`}
                className="heat__cell"
                x={LEFT + column * columnPx}
                y={height - (row + 1) * ROW_PX}
                width={Math.max(1, columnPx - 1)}
                height={ROW_PX - 1}
                fillOpacity={FAINTEST + (1 - FAINTEST) * strength}
                onClick={() => onNarrow(narrowedTo(point.time, stepS, bucket))}
              >
                <title>{`${clockTime(new Date(point.time))}, ${bucketName(bucket)}: ${plural(count, "request")}`}</title>
              </rect>
            );
          })}
          {points.map((point, column) =>
            column % labelEvery === 0 && LEFT + column * columnPx < width - 50 ? (
              <text key={point.time} x={LEFT + column * columnPx} y={height + 16}>
                {clockTime(new Date(point.time)).slice(0, stepS < 60 ? 8 : 5)}
              </text>
            ) : null,
          )}
        </svg>
      )}
    </div>
  );
}

/** The numbers of the heat map; each is a button that narrows the search to its requests. */
export function HeatTable({ latency, onNarrow }: Props) {
  const rows = latency.points.filter((point) => point.requests !== 0).toReversed();
  return (
    // A scrolling region has to be reachable by keyboard.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="chart__table heat-table" tabIndex={0} role="region" aria-label="Requests by duration as a table">
      <table className="table table--dense">
        <thead>
          <tr>
            <th scope="col">Time</th>
            {latency.buckets.map((bucket) => (
              <th key={bucket.lower_ms} scope="col" className="num">
                {bucketName(bucket)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((point) => (
            <tr key={point.time}>
              <th scope="row">{clockTime(new Date(point.time))}</th>
              {point.counts === null ? (
                <td colSpan={latency.buckets.length} className="quiet">
                  no data
                </td>
              ) : (
                latency.buckets.map((bucket, row) => {
                  const count = point.counts?.[row] ?? 0;
                  return (
                    <td key={bucket.lower_ms} className="num">
                      {count === 0 ? (
                        <span className="quiet">0</span>
                      ) : (
                        <button
                          type="button"
                          className="link-button"
                          onClick={() => onNarrow(narrowedTo(point.time, latency.step_s, bucket))}
                        >
                          {count}
                          <span className="sr-only"> requests, show their traces</span>
                        </button>
                      )}
                    </td>
                  );
                })
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
