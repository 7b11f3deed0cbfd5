import { useEffect, useRef } from "react";

import { cssColor } from "../../lib/cssColor";
import { useResolvedTheme } from "../../lib/theme";
import { useWidth } from "../../lib/useWidth";
import type { Layout } from "./layout";

const HEIGHT = 56;
const AT_ONCE_MAX = 1_000; // rows: the drawing of more waits until the waterfall has been painted

function draw(canvas: HTMLCanvasElement, layout: Layout, width: number): void {
  const { rows, durationMs } = layout;
  const ratio = window.devicePixelRatio;
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(ratio, ratio);
  const colors = new Map<string, string>();
  const bad = cssColor("--series-bad");
  const rowHeight = Math.max(1, Math.min(4, HEIGHT / rows.length));
  rows.forEach((row, index) => {
    const name = layout.colors.get(row.service) ?? "--span-0";
    let color = colors.get(name);
    if (color === undefined) {
      color = cssColor(name);
      colors.set(name, color);
    }
    context.fillStyle = row.errorOrigin ? bad : color;
    const x = (row.startMs / durationMs) * width;
    const w = Math.max(1, (row.durationMs / durationMs) * width);
    context.fillRect(x, (index / rows.length) * (HEIGHT - rowHeight), w, rowHeight);
  });
}

/** The whole trace at a glance. Decoration: the tree below says the same. */
export function Minimap({ layout }: { layout: Layout }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const theme = useResolvedTheme();
  useEffect(() => {
    const element = canvas.current;
    if (element === null || width === 0 || layout.durationMs === 0) return undefined;
    if (layout.rows.length <= AT_ONCE_MAX) {
      draw(element, layout, width);
      return undefined;
    }
    const timer = setTimeout(() => draw(element, layout, width));
    return () => clearTimeout(timer);
  }, [layout, width, theme]);
  return (
    <div ref={box} className="minimap" aria-hidden="true">
      <canvas ref={canvas} style={{ width: "100%", height: HEIGHT }} />
    </div>
  );
}
