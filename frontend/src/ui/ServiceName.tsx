import { Fragment } from "react";

/** A name that breaks where its words end ("Checkout|Service", "api-|gateway") when the column is narrow. */
export function ServiceName({ name }: { name: string }) {
  return name.split(/(?<=[a-z0-9])(?=[A-Z])|(?<=[-_.])/).map((part, index) => (
    <Fragment key={index}>
      {index > 0 && <wbr />}
      {part}
    </Fragment>
  ));
}
