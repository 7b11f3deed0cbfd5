import { useState, type ReactNode } from "react";

import { useOperations, useOverview } from "../../api/queries";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { fromLocalInput, searchProblem, toLocalInput, type Search } from "./search";

const RANGES = [
  { value: "5", text: "Last 5 minutes" },
  { value: "15", text: "Last 15 minutes" },
  { value: "60", text: "Last hour" },
  { value: "360", text: "Last 6 hours" },
  { value: "1440", text: "Last 24 hours" },
  { value: "", text: "From … to …" },
];

function Field({ label, children }: { label: string; children: ReactNode }) {
  return (
    // The control is the child.
     
    <label className="field">
      <span>{label}</span>
      {children}
    </label>
  );
}

type Setter = (change: Partial<Search>) => void;

function RangeFields({ draft, set }: { draft: Search; set: Setter }) {
  const known = RANGES.some((range) => range.value === draft.minutes);
  const choose = (minutes: string) => {
    if (minutes !== "") {
      set({ minutes });
      return;
    }
    // Begin from the range that was on the screen.
    const end = new Date();
    const start = new Date(end.getTime() - Number(draft.minutes || "15") * 60_000);
    set({ minutes, start: start.toISOString(), end: end.toISOString() });
  };
  return (
    <>
      <Field label="Time">
        <select value={draft.minutes} onChange={(event) => choose(event.target.value)}>
          {!known && <option value={draft.minutes}>Last {draft.minutes} minutes</option>}
          {RANGES.map((range) => (
            <option key={range.value} value={range.value}>
              {range.text}
            </option>
          ))}
        </select>
      </Field>
      {draft.minutes === "" && (
        <>
          <Field label="From">
            <input
              type="datetime-local"
              step={1}
              value={toLocalInput(draft.start)}
              onChange={(event) => set({ start: fromLocalInput(event.target.value) })}
            />
          </Field>
          <Field label="To">
            <input
              type="datetime-local"
              step={1}
              value={toLocalInput(draft.end)}
              onChange={(event) => set({ end: fromLocalInput(event.target.value) })}
            />
          </Field>
        </>
      )}
    </>
  );
}

function ServiceField({ draft, set }: { draft: Search; set: Setter }) {
  const overview = useOverview();
  const services = overview.data?.services.map((health) => health.service).sort() ?? [];
  const missing = draft.service !== "" && !services.includes(draft.service);
  return (
    <Field label="Service">
      <select value={draft.service} onChange={(event) => set({ service: event.target.value, operation: "" })}>
        <option value="">Any</option>
        {missing && <option>{draft.service}</option>}
        {services.map((service) => (
          <option key={service}>{service}</option>
        ))}
      </select>
    </Field>
  );
}

/** The search form. What was searched for stands in the address, so that it can be sent to somebody. */
export function SearchForm({ search, busy, onSearch }: { search: Search; busy: boolean; onSearch: (search: Search) => void }) {
  const [draft, setDraft] = useState(search);
  const [problem, setProblem] = useState<string | null>(null);
  const operations = useOperations(draft.service);
  const set: Setter = (change) => setDraft((old) => ({ ...old, ...change }));

  const submit = () => {
    const wrong = searchProblem(draft);
    setProblem(wrong);
    if (wrong === null) onSearch(draft);
  };
  return (
    <form
      className="card search"
      role="search"
      aria-label="Traces"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <ServiceField draft={draft} set={set} />
      <Field label="Operation">
        <input
          list="operations"
          value={draft.operation}
          placeholder="any"
          onChange={(event) => set({ operation: event.target.value })}
        />
      </Field>
      <datalist id="operations">{operations.data?.map((name) => <option key={name} value={name} />)}</datalist>
      <Field label="At least, ms">
        <input
          inputMode="decimal"
          value={draft.minDurationMs}
          placeholder="any duration"
          onChange={(event) => set({ minDurationMs: event.target.value.trim() })}
        />
      </Field>
      <Field label="Attribute">
        <input
          value={draft.attribute}
          placeholder="key=value"
          spellCheck={false}
          onChange={(event) => set({ attribute: event.target.value.trim() })}
        />
      </Field>
      <RangeFields draft={draft} set={set} />
      <Field label="At most">
        <select value={draft.limit} onChange={(event) => set({ limit: event.target.value })}>
          {["20", "50", "100", "200", "500"].map((limit) => (
            <option key={limit} value={limit}>
              {limit} traces
            </option>
          ))}
        </select>
      </Field>
      <div className="search__end">
        <label className="check">
          <input
            type="checkbox"
            checked={draft.errorsOnly}
            onChange={(event) => set({ errorsOnly: event.target.checked })}
          />
          Errors only
        </label>
        <Button type="submit" look="primary">
          <Icon name="search" size={14} /> {busy ? "Searching …" : "Search"}
        </Button>
      </div>
      {problem !== null && (
        <p className="search__problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}
