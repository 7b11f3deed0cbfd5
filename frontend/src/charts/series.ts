/** What a chart shows. Null is a hole in the line: nothing was measured. */
export interface Series {
  label: string;
  color: string; // name of a CSS custom property
  dash?: number[]; // lines of one chart differ in more than colour
  fill?: boolean;
  values: readonly (number | null)[];
}

export interface ChartData {
  times: readonly number[]; // Unix seconds
  series: readonly Series[];
  format: (value: number) => string;
}
