import { useState } from "react";
import { Link } from "react-router";

import type { LogPattern, LogPatterns } from "../../api/logs";
import { clockTime, compactCount, dayAndTime, percent, plural } from "../../lib/format";
import { Button } from "../../ui/Button";
import { Empty } from "../../ui/States";
import { Row } from "./Records";
import { severityTones } from "./search";

const BAR_W = 120;
const BAR_H = 26;

/** The counts over time, small. The numbers stand beside it. */
function Trend({ counts }: { counts: readonly number[] }) {
  const most = Math.max(1, ...counts);
  const each = BAR_W / Math.max(1, counts.length);
  return (
    <svg className="pattern__trend" width={BAR_W} height={BAR_H} aria-hidden="true">
      {counts.map((count, index) => {
        const height = count === 0 ? 0 : Math.max(1, (count / most) * BAR_H);
        return <rect key={index} x={index * each} y={BAR_H - height} width={Math.max(0.5, each - 0.5)} height={height} fill="var(--series-1)" />;
      })}
    </svg>
  );
}

function changeText(pattern: LogPattern): string {
  if (pattern.is_new === true) return "new: not there in the time before";
  if (pattern.change === null) return "the time before is not known";
  const before = `${compactCount(pattern.previous_count)} before`;
  if (pattern.change >= 1) return `${(pattern.change + 1).toFixed(1).replace(/\.0$/, "")} times as many: ${before}`;
  if (Math.abs(pattern.change) < 0.05) return `as before: ${before}`;
  return `${percent(Math.abs(pattern.change))} ${pattern.change > 0 ? "more" : "fewer"}: ${before}`;
}

/** The variable parts of a template stand out. */
function Template({ text }: { text: string }) {
  return (
    <code className="pattern__template">
      {text.split(/(<[A-Z_*]+>)/).map((part, index) => (index % 2 === 1 ? <mark key={index}>{part}</mark> : part))}
    </code>
  );
}

interface OneProps {
  pattern: LogPattern;
  approximate: boolean;
  onSearch: (pattern: LogPattern) => void;
  onFilter: (pair: string) => void;
}

function One({ pattern, approximate, onSearch, onFilter }: OneProps) {
  const [examples, setExamples] = useState(false);
  const [open, setOpen] = useState<string | null>(null);
  const tone = severityTones[pattern.severity];
  return (
    <li className="pattern">
      <div className="pattern__count">
        <strong>
          {approximate && "~"}
          {compactCount(pattern.count)}
        </strong>
        <span className="quiet">{percent(pattern.share)}</span>
      </div>
      <div className="pattern__main">
        <Template text={pattern.template} />
        <p className="pattern__facts">
          <span className={`status--${tone} log-row__severity`}>{pattern.severity}</span>
          <strong>{pattern.service}</strong>
          {pattern.is_new === true && <span className="tag tag--new">new</span>}
          <span className="quiet">{changeText(pattern)}</span>
          <span className="quiet" title={`${dayAndTime(new Date(pattern.first_seen))} to ${dayAndTime(new Date(pattern.last_seen))}`}>
            {clockTime(new Date(pattern.first_seen))} to {clockTime(new Date(pattern.last_seen))}
          </span>
        </p>
        <div className="controls">
          <Button look="quiet" aria-expanded={examples} onClick={() => setExamples(!examples)}>
            {examples ? "Hide examples" : plural(pattern.examples.length, "example")}
          </Button>
          <Button look="quiet" onClick={() => onSearch(pattern)}>
            Find such records
          </Button>
          {pattern.examples[0]?.trace_id !== undefined && pattern.examples[0].trace_id !== null && (
            <Link className="button button--quiet" to={`/traces/${pattern.examples[0].trace_id}`}>
              A trace of it
            </Link>
          )}
        </div>
        {examples &&
          pattern.examples.map((record) => (
            <Row
              key={record.id}
              record={record}
              open={open === record.id}
              onToggle={() => setOpen(open === record.id ? null : record.id)}
              onFilter={onFilter}
            />
          ))}
      </div>
      <Trend counts={pattern.timeline} />
    </li>
  );
}

/** What is said again and again, the most frequent first; new ones are marked. */
export function Patterns({ answer, onSearch, onFilter }: { answer: LogPatterns } & Pick<OneProps, "onSearch" | "onFilter">) {
  if (answer.patterns.length === 0) {
    return (
      <Empty icon="search" title="No record fits this search">
        <p>Try a longer time, or fewer conditions.</p>
      </Empty>
    );
  }
  const fresh = answer.patterns.filter((pattern) => pattern.is_new === true).length;
  return (
    <>
      <p className="quiet log-note">
        {plural(answer.patterns_total, "pattern")} in {plural(answer.records_total, "record")}
        {fresh > 0 && `, ${fresh} new`}
        {answer.notes.map((note) => (
          <span key={note}> · {note}</span>
        ))}
      </p>
      <ol className="patterns" aria-label="Patterns, the most frequent first">
        {answer.patterns.map((pattern) => (
          <One key={pattern.id} pattern={pattern} approximate={answer.sampled} onSearch={onSearch} onFilter={onFilter} />
        ))}
      </ol>
    </>
  );
}
