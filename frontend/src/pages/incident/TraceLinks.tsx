import { Link } from "react-router";

const SHOWN = 4;

/** Example traces of something. */
export function TraceLinks({ ids }: { ids: string[] }) {
  if (ids.length === 0) return null;
  return (
    <p className="trace-links">
      <span className="quiet">Example traces</span>
      {ids.slice(0, SHOWN).map((id) => (
        <Link key={id} to={`/traces/${id}`} className="mono">
          {id.slice(0, 8)}
        </Link>
      ))}
    </p>
  );
}
