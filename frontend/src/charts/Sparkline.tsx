interface Props {
  values: readonly (number | null)[];
  color: string;
  width?: number;
  height?: number;
}

/** A line without axes, beside the numbers that it belongs to. Decoration: the numbers are in the same row. */
export function Sparkline({ values, color, width = 96, height = 24 }: Props) {
  const known = values.filter((value) => value !== null);
  const top = Math.max(...known, Number.MIN_VALUE);
  const step = values.length > 1 ? width / (values.length - 1) : width;
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(index * step).toFixed(1)} ${(height - 2 - (value / top) * (height - 4)).toFixed(1)}`;
    pen = "L";
  });
  return (
    <svg className="sparkline" width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
      <path d={path} fill="none" stroke={`var(${color})`} strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  );
}
