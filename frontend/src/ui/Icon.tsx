/** The icons, drawn on a grid of 16. They are decoration: a word always stands beside them. */

const paths = {
  check: "M3.5 8.5l3 3 6-7",
  cross: "M4 4l8 8M12 4l-8 8",
  warning: "M8 2.5L14.2 13.5H1.8zM8 6.5v3.2M8 11.6v.1",
  alert: "M8 1.8a6.2 6.2 0 100 12.4A6.2 6.2 0 008 1.8zM8 4.8v3.8M8 11v.1",
  question: "M5.6 6a2.4 2.4 0 114 1.8c-.9.7-1.6 1.1-1.6 2.2M8 12.6v.1",
  person: "M8 7.6a2.6 2.6 0 100-5.2 2.6 2.6 0 000 5.2zM2.8 13.8c.6-2.8 2.6-4 5.2-4s4.6 1.2 5.2 4",
  bolt: "M9 1.5L3.5 9H8l-1 5.5L12.5 7H8z",
  gauge: "M2.2 11.5a6 6 0 1111.6 0M8 10.5l3-4",
  undo: "M5.5 3L2.5 6l3 3M2.5 6h7a4 4 0 010 8H6",
  pulse: "M1.5 8.5h3l2-5 3 9 2-4h3",
  flag: "M3.5 14.5v-12h8.5l-2 3 2 3H3.5",
  plan: "M3 4h1M3 8h1M3 12h1M6.5 4H13M6.5 8H13M6.5 12H13",
  wrench: "M13.6 4.2l-2.3 2.3-1.8-1.8 2.3-2.3a3.6 3.6 0 00-4.7 4.6L2.4 11.7l1.9 1.9 4.7-4.7a3.6 3.6 0 004.6-4.7z",
  loop: "M13.5 8a5.5 5.5 0 11-1.7-4M12 1.5V4.2H9.3",
  eye: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 9.8a1.8 1.8 0 100-3.6 1.8 1.8 0 000 3.6z",
  search: "M7 11.8A4.8 4.8 0 107 2.2a4.8 4.8 0 000 9.6zM10.6 10.6l3.4 3.4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  up: "M8 13V3.5M4 7.2l4-4 4 4",
  down: "M8 3v9.5M4 8.8l4 4 4-4",
  chevron: "M6 3.5L10.5 8 6 12.5",
  copy: "M5.5 5.5V2.8h7.7v7.7h-2.7M2.8 5.5h7.7v7.7H2.8z",
  sun: "M8 10.8a2.8 2.8 0 100-5.6 2.8 2.8 0 000 5.6zM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  moon: "M13.5 9.8A6 6 0 016.2 2.5a6 6 0 107.3 7.3z",
  screen: "M2 3h12v8H2zM5.5 13.8h5M8 11v2.8",
  disk: "M8 6c3.3 0 5.5-.8 5.5-1.9S11.3 2.2 8 2.2s-5.500.8-5.500 1.9S4.700 6 8 6zM2.500 4.100v7.800c0 1.100 2.200 1.900 5.500 1.900s5.500-.8 5.500-1.900V4.100M2.500 8c0 1.100 2.200 1.900 5.500 1.900s5.500-.8 5.500-1.900",
  plug: "M5.500 1.800v3.200M10.500 1.800v3.200M3.500 5h9v2.500a4.500 4.500 0 01-9 0zM8 12v2.500",
  table: "M2 3h12v10H2zM2 6.500h12M6.500 6.500V13",
  chart: "M2.500 2.500v11h11M5 10.500l2.500-3 2 1.500 3-4.500",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
