import { Fragment } from "react";

/** The name of a metric, which breaks after "_" and "." only ("requests_|received_|total"). */
export function MetricName({ name }: { name: string }) {
  return name.split(/(?<=[_.])/).map((part, index) => (
    <Fragment key={index}>
      {index > 0 && <wbr />}
      {part}
    </Fragment>
  ));
}
