/** What a part of a page shows while it waits, when it failed, and when there is nothing to show. */

import type { ReactNode } from "react";

import { ApiError } from "../api/client";
import { Button } from "./Button";
import { Icon, type IconName } from "./Icon";

export function Skeleton({ height, label = "Loading" }: { height: number | string; label?: string }) {
  return (
    <div className="skeleton" style={{ height }} role="status">
      <span className="sr-only">{label}</span>
    </div>
  );
}

export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const message = error instanceof Error ? error.message : "Something went wrong.";
  return (
    <div className="notice notice--bad" role="alert">
      <Icon name="alert" />
      <div className="notice__text">
        <strong>{error instanceof ApiError && error.status === 0 ? "Not reached" : "This could not be read"}</strong>
        <p>{message}</p>
      </div>
      {retry !== undefined && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <span className="empty__icon">
        <Icon name={icon} size={22} />
      </span>
      <p className="empty__title">{title}</p>
      {children !== undefined && <div className="empty__body">{children}</div>}
    </div>
  );
}
