import { useIsFetching, useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useNavigate } from "react-router";

import { useOperations, useOverview } from "../../api/queries";
import { useIsStored } from "../../api/traceColumns";
import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { RangeFields } from "../../ui/RangeFields";
import { searchProblem, traceIdOf, writeSearch, type Search } from "./search";

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
export function SearchForm({ search, onSearch }: { search: Search; onSearch: (search: Search) => void }) {
  const client = useQueryClient();
  const busy = useIsFetching({ queryKey: ["traces"] }) > 0;
  const [draft, setDraft] = useState(search);
  const [problem, setProblem] = useState<string | null>(null);
  const navigate = useNavigate();
  const isStored = useIsStored();
  const operations = useOperations(draft.service);
  const set: Setter = (change) => setDraft((old) => ({ ...old, ...change }));

  const submit = () => {
    const wrong = searchProblem(draft);
    setProblem(wrong);
    if (wrong !== null) return;
    const id = traceIdOf(draft.text);
    if (id === null) find();
    else void goTo(id);
  };
  const goTo = async (id: string) => {
    if (await isStored(id)) void navigate(`/traces/${id}`);
    else find();
  };
  const find = () => {
    // The same search again means: look whether there is something new.
    if (writeSearch(draft).toString() !== writeSearch(search).toString()) onSearch(draft);
    else for (const key of ["traces", "question"]) void client.invalidateQueries({ queryKey: [key] });
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
      <Field label="Text">
        <input
          value={draft.text}
          placeholder="text, or a trace id"
          spellCheck={false}
          onChange={(event) => set({ text: event.target.value })}
        />
      </Field>
      <div className="search__pair">
        <Field label="At least, ms">
          <input
            inputMode="decimal"
            value={draft.minDurationMs}
            placeholder="any"
            onChange={(event) => set({ minDurationMs: event.target.value.trim() })}
          />
        </Field>
        <Field label="At most, ms">
          <input
            inputMode="decimal"
            value={draft.maxDurationMs}
            placeholder="any"
            onChange={(event) => set({ maxDurationMs: event.target.value.trim() })}
          />
        </Field>
      </div>
      <Field label="Attribute">
        <input
          value={draft.attribute}
          placeholder="key=value"
          spellCheck={false}
          onChange={(event) => set({ attribute: event.target.value.trim() })}
        />
      </Field>
      <RangeFields range={draft} onChange={set} />
      <Field label="At a time">
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
