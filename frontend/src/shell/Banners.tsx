import { useEffect, useState } from "react";

import { useOverview } from "../api/queries";
import { bytes } from "../lib/format";
import { useConnection } from "../live/store";
import { Icon } from "../ui/Icon";

const PATIENCE_MS = 1_500;

/** True when the connection has been lost for longer than a hiccup. */
function useLostForLong(): boolean {
  const lost = useConnection() === "lost";
  const [since, setSince] = useState(false);
  useEffect(() => {
    if (!lost) return undefined;
    const timer = setTimeout(() => setSince(true), PATIENCE_MS);
    return () => {
      clearTimeout(timer);
      setSince(false);
    };
  }, [lost]);
  return lost && since;
}

/** What concerns every page: no connection, no room to store. */
export function Banners() {
  const lost = useLostForLong();
  const { data } = useOverview();
  const storage = data?.storage;
  const full = storage !== undefined && storage.state !== "ok" && storage.state !== "unknown";
  return (
    <div className="banners" role="status" aria-live="polite">
      {lost && (
        <p className="banner banner--warn">
          <Icon name="plug" />
          <span>
            <strong>Connection lost.</strong> The numbers below are the last known ones. Trying to reconnect …
          </span>
        </p>
      )}
      {full && (
        <p className="banner banner--bad">
          <Icon name="disk" />
          <span>
            <strong>Storage: {storage.state.replaceAll("_", " ")}.</strong> {storage.detail}
            {storage.free_bytes !== null && ` ${bytes(storage.free_bytes)} free.`}
          </span>
        </p>
      )}
    </div>
  );
}
