import { useState } from "react";

import { useOverview } from "../../api/queries";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { RangeFields } from "../../ui/RangeFields";
import { pairsOf, pairsText, searchProblem, type LogSearch } from "./search";

const SEVERITIES = [
  { value: "", text: "Any" },
  { value: "debug", text: "Debug and above" },
  { value: "info", text: "Info and above" },
  { value: "warn", text: "Warnings and above" },
  { value: "error", text: "Errors and above" },
  { value: "fatal", text: "Fatal" },
];

/** The search form for log records. What was searched for stands in the address. */
export function LogForm({ search, busy, onSearch }: { search: LogSearch; busy: boolean; onSearch: (search: LogSearch) => void }) {
  const [draft, setDraft] = useState(search);
  const [attributes, setAttributes] = useState(() => pairsText(search.attributes));
  const [problem, setProblem] = useState<string | null>(null);
  const overview = useOverview();
  const services = overview.data?.services.map((one) => one.service) ?? [];
  const set = (change: Partial<LogSearch>) => setDraft((old) => ({ ...old, ...change }));
  const submit = () => {
    const next = { ...draft, attributes: pairsOf(attributes) };
    const wrong = searchProblem(next, attributes);
    setProblem(wrong);
    if (wrong === null) onSearch(next);
  };
  return (
    <form
      className="card log-search"
      role="search"
      aria-label="Log records"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label className="field log-search__text">
        <span>Words</span>
        <input
          type="search"
          value={draft.text}
          placeholder={'words that all occur, or "a phrase"'}
          onChange={(event) => set({ text: event.target.value })}
        />
      </label>
      <label className="field">
        <span>Service</span>
        <input list="log-services" value={draft.service} placeholder="any" onChange={(event) => set({ service: event.target.value })} />
      </label>
      <datalist id="log-services">{services.map((name) => <option key={name} value={name} />)}</datalist>
      <label className="field">
        <span>Severity</span>
        <select value={draft.severity} onChange={(event) => set({ severity: event.target.value })}>
          {SEVERITIES.map((one) => (
            <option key={one.value} value={one.value}>
              {one.text}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>Attributes</span>
        <input value={attributes} placeholder="key=value" spellCheck={false} onChange={(event) => setAttributes(event.target.value)} />
      </label>
      <RangeFields range={draft.range} onChange={(range) => set({ range })} />
      <Button type="submit" look="primary">
        <Icon name="search" size={14} /> {busy ? "Searching …" : "Search"}
      </Button>
      {draft.traceId !== "" && (
        <p className="log-search__trace">
          Only of the trace <code>{draft.traceId}</code>
          {draft.spanId !== "" && (
            <>
              , span <code>{draft.spanId}</code>
            </>
          )}
          <Button look="quiet" onClick={() => onSearch({ ...draft, attributes: pairsOf(attributes), traceId: "", spanId: "" })}>
            <Icon name="cross" size={12} /> of any
          </Button>
        </p>
      )}
      {problem !== null && (
        <p className="problem log-search__trace" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}
