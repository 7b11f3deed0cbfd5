import type { SloAnswer } from "../../api/slos";
import { budgetShare, budgetTone } from "./words";

/** The true error budget that is left, as a bar and a number. An overspent one is an empty bar with a negative number. */
export function BudgetBar({ slo }: { slo: SloAnswer }) {
  const left = slo.budget.remaining;
  const tone = budgetTone(slo);
  return (
    <span className={`budget budget--${tone}`}>
      <span className="budget__number">{left === null ? <span className="quiet">no data</span> : budgetShare(left)}</span>
      <span className="budget__bar" aria-hidden="true">
        {left !== null && <span style={{ width: `${Math.min(1, Math.max(0, left)) * 100}%` }} />}
      </span>
    </span>
  );
}
