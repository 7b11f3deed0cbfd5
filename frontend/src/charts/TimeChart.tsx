/** A line chart over time, drawn by uPlot. Imported lazily. */

import { useEffect, useRef, useState } from "react";
import { Link } from "react-router";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { cssColor } from "../lib/cssColor";
import { axisTime } from "../lib/format";
import { useResolvedTheme } from "../lib/theme";
import { loneValues, type ChartData, type ChartMark } from "./series";

interface Props {
  data: ChartData;
  height: number;
  syncKey: string;
  onPoint: (index: number | null) => void;
}

const AXIS_FONT = "11px system-ui, sans-serif";
const AXIS_WIDTH = 58;

function faint(color: string): string {
  return color.replace("rgb(", "rgba(").replace(")", ", 0.12)");
}

/** From zero, so that heights can be compared; below it only where values are. */
function yRange(_chart: uPlot, min: number | null, max: number | null): [number, number] {
  const low = min === null || min >= 0 ? 0 : min * 1.12;
  const high = max === null || max <= 0 ? 0 : max * 1.12;
  return [low, low === 0 && high === 0 ? 1 : high];
}

interface Place {
  mark: ChartMark;
  left: number;
  top: number;
}

/** Where the marks lie, in pixels of the chart's box; those outside of the axes are left out. */
function placesOf(chart: uPlot, marks: readonly ChartMark[]): Place[] {
  const { offsetLeft, offsetTop, clientWidth, clientHeight } = chart.over;
  return marks.flatMap((mark) => {
    const x = chart.valToPos(mark.time, "x");
    const y = chart.valToPos(mark.value, "y");
    const inside = x >= 0 && x <= clientWidth && y >= 0 && y <= clientHeight;
    return inside ? [{ mark, left: offsetLeft + x, top: offsetTop + y }] : [];
  });
}

function timeTicks(_chart: uPlot, ticks: number[]): string[] {
  const span = (ticks.at(-1) ?? 0) - (ticks[0] ?? 0);
  return ticks.map((tick) => axisTime(new Date(tick * 1_000), span));
}

function axes(format: (value: number) => string): uPlot.Axis[] {
  const look = {
    stroke: cssColor("--text-2"),
    font: AXIS_FONT,
    grid: { stroke: cssColor("--grid"), width: 1 },
    ticks: { show: false },
  };
  return [
    { ...look, size: 28, space: 70, values: timeTicks },
    { ...look, size: AXIS_WIDTH, space: 34, values: (_chart, ticks) => ticks.map((tick) => format(tick)) },
  ];
}

/** A line needs two points beside each other: a value that stands alone is drawn as a dot. */
function lonePoints(chart: uPlot, index: number): number[] {
  return loneValues(Array.from(chart.data[index] ?? []));
}

function lines(data: ChartData): uPlot.Series[] {
  return data.series.map((series) => ({
    label: series.label,
    stroke: cssColor(series.color),
    width: 1.75,
    points: { show: true, filter: lonePoints, size: 6, fill: cssColor(series.color) },
    ...(series.dash === undefined ? {} : { dash: series.dash }),
    ...(series.fill === true ? { fill: faint(cssColor(series.color)) } : {}),
  }));
}

function aligned(data: ChartData): uPlot.AlignedData {
  return [[...data.times], ...data.series.map((series) => [...series.values])];
}

export default function TimeChart({ data, height, syncKey, onPoint }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef({ data, onPoint });
  const [places, setPlaces] = useState<readonly Place[]>([]);
  const theme = useResolvedTheme();
  const shape = data.series.map((series) => series.label).join("|");

  useEffect(() => {
    latest.current = { data, onPoint };
    chart.current?.setData(aligned(data));
  }, [data, onPoint]);

  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const first = latest.current.data;
    const plot = new uPlot(
      {
        width: Math.max(element.clientWidth, 120),
        height,
        legend: { show: false },
        padding: [8, 26, 0, 0],
        cursor: { y: false, sync: { key: syncKey }, drag: { x: false, y: false }, points: { size: 6 } },
        scales: {
          x: { time: true },
          y: {
            range: (self, min, max) => {
              const marks = latest.current.data.marks?.map((mark) => mark.value) ?? [];
              return yRange(self, min, marks.length === 0 ? max : Math.max(max, ...marks));
            },
          },
        },
        axes: axes((value) => latest.current.data.format(value)),
        series: [{}, ...lines(first)],
        hooks: {
          setCursor: [(self) => latest.current.onPoint(self.cursor.idx ?? null)],
          draw: [(self) => setPlaces(placesOf(self, latest.current.data.marks ?? []))],
        },
      },
      aligned(first),
      element,
    );
    chart.current = plot;
    const observer = new ResizeObserver(() => {
      plot.setSize({ width: Math.max(element.clientWidth, 120), height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
      chart.current = null;
    };
  }, [height, syncKey, theme, shape]);

  return (
    <div className="chart__plot" style={{ height, position: "relative" }}>
      <div ref={box} />
      {places.map(({ mark, left, top }) => (
        <Link key={mark.key} className="chart__mark" to={mark.to} style={{ left, top }} title={mark.label} aria-label={mark.label} />
      ))}
    </div>
  );
}
