import { Link } from "react-router";

import { Button } from "../../ui/Button";

/** Appears when traces are ticked, and leads to their comparison. */
export function CompareBar({ picked, onClear }: { picked: readonly string[]; onClear: () => void }) {
  const [left, right] = picked;
  if (left === undefined) return null;
  return (
    <div className="compare-bar" role="status">
      {right === undefined ? (
        <span>One trace is ticked. Tick another to compare the two.</span>
      ) : (
        <Link className="button button--primary" to={`/traces/compare?left=${left}&right=${right}`}>
          Compare the two traces
        </Link>
      )}
      <Button look="quiet" onClick={onClear}>
        Untick
      </Button>
    </div>
  );
}
