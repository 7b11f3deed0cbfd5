import type { ReactNode } from "react";

/** A measured value, or a dash that is read out as "no data". */
export function Value({ of, as }: { of: number | null | undefined; as: (value: number) => string }): ReactNode {
  if (of === null || of === undefined) {
    return (
      <span className="nodata">
        <span aria-hidden="true">–</span>
        <span className="sr-only">no data</span>
      </span>
    );
  }
  return as(of);
}
