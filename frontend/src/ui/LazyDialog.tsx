import { lazy, Suspense } from "react";

import type { DialogProps } from "./Dialog";

const Dialog = lazy(() => import("./Dialog"));

/** The dialog, fetched when it is first opened. */
export function LazyDialog(props: DialogProps) {
  return (
    <Suspense fallback={null}>
      <Dialog {...props} />
    </Suspense>
  );
}
