/** What a chart shows. Null is a hole in the line: nothing was measured. */
export interface Series {
  label: string;
  color: string; // name of a CSS custom property
  dash?: number[]; // lines of one chart differ in more than colour
  fill?: boolean;
  values: readonly (number | null)[];
}

/** A single moment beside the lines, with the page that it leads to. */
export interface ChartMark {
  key: string;
  time: number; // Unix seconds
  value: number;
  to: string;
  label: string;
}

export interface ChartData {
  times: readonly number[]; // Unix seconds
  series: readonly Series[];
  format: (value: number) => string;
  marks?: readonly ChartMark[];
  marksLabel?: string; // what the marks are, for the legend
}

const FEW = 3;

/** The places of the values that a line would not show, having no neighbour; of hardly any values, all of them. */
export function loneValues(values: readonly (number | null | undefined)[]): number[] {
  const isKnown = (index: number) => values[index] !== null && values[index] !== undefined;
  const known = [...values.keys()].filter(isKnown);
  return known.length <= FEW ? known : known.filter((index) => !isKnown(index - 1) && !isKnown(index + 1));
}
