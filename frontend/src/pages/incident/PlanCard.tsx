import type { Plan } from "../../api/types";
import { percent, words } from "../../lib/format";
import { Card } from "../../ui/Card";

/** The candidates in the order in which they would be tried, and why. */
export function PlanCard({ plan }: { plan: Plan }) {
  return (
    <Card title="Plan" aside={<code className="quiet" title={plan.digest}>{plan.digest.slice(0, 12)}</code>}>
      {plan.steps.length === 0 && <p className="quiet">No action here answers this: a person is asked.</p>}
      <ol className="plan">
        {plan.steps.map((step) => (
          <li key={`${step.action} ${step.resource}`}>
            <p>
              <strong>{words(step.action)}</strong> <code>{step.resource}</code>
            </p>
            <p className="quiet">
              {step.why} Confidence {percent(step.confidence)}.
            </p>
          </li>
        ))}
      </ol>
    </Card>
  );
}
