import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { Link, useSearchParams } from "react-router";

import type { SpanChange, SpanDifference, TraceComparison } from "../../api/traceTypes";
import { duration } from "../../lib/format";
import { Card } from "../../ui/Card";
import { Icon } from "../../ui/Icon";
import { Segments } from "../../ui/Segments";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";
import { CHANGES, changeMarks, changeOf, ofChange, signedMs } from "./changes";

const ROW_PX = 44;
const INDENT_PX = 12;
const INDENT_MAX_PX = 120;

type Choice = SpanChange | "all";

function Side({ ms, longest, id, trace, failed }: { ms: number | null; longest: number; id: string | null; trace: string; failed: boolean | null }) {
  return (
    <span className="diff__side" role="cell">
      <span className="share__bar" aria-hidden="true">
        <span data-bad={failed === true} style={{ width: `${ms === null || longest <= 0 ? 0 : (ms / longest) * 100}%` }} />
      </span>
      <span className="diff__ms">
        {id === null ? <span className="quiet">not there</span> : <Link to={`/traces/${trace}?span=${id}`}><Value of={ms} as={duration} /></Link>}
        {failed === true && (
          <span className="status status--bad">
            <Icon name="alert" size={12} />
            <span className="sr-only">failed</span>
          </span>
        )}
      </span>
    </span>
  );
}

function Row({ span, data, longest }: { span: SpanDifference; data: TraceComparison; longest: number }) {
  return (
    <>
      <span role="cell" className="diff__name" style={{ paddingLeft: Math.min(span.depth * INDENT_PX, INDENT_MAX_PX) }}>
        <strong>{span.service}</strong> <span className="quiet">{span.operation}</span>
      </span>
      <span role="cell">
        <Status mark={changeMarks[span.change]} />
      </span>
      <Side ms={span.left_ms} longest={longest} id={span.left_span_id} trace={data.left_trace_id} failed={span.left_error} />
      <Side ms={span.right_ms} longest={longest} id={span.right_span_id} trace={data.right_trace_id} failed={span.right_error} />
      <span role="cell" className="diff__delta">
        <Value of={span.delta_ms} as={signedMs} />
      </span>
    </>
  );
}

/** The spans of both traces as one tree. Which kind of change is shown stands in the address. */
export function SpanDifferences({ data }: { data: TraceComparison }) {
  const [params, setParams] = useSearchParams();
  const change = changeOf(params.get("change"));
  const spans = useMemo(() => ofChange(data.spans, change), [data, change]);
  const longest = Math.max(data.left_ms, data.right_ms);
  const box = useRef<HTMLDivElement>(null);
  const list = useVirtualizer({
    count: spans.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: 12,
  });
  const options: { value: Choice; text: string; count: number }[] = [
    { value: "all", text: "All", count: data.spans.length },
    ...CHANGES.map((one) => ({ value: one, text: changeMarks[one].word, count: data.changes[one] ?? 0 })),
  ];
  const choose = (to: Choice) =>
    setParams((old) => {
      if (to === "all") old.delete("change");
      else old.set("change", to);
      return old;
    });
  return (
    <Card title="Span by span" flush aside={<Segments label="Spans" options={options} value={change ?? "all"} onChange={choose} />}>
      {/* A scrolling region has to be reachable by keyboard. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <div ref={box} className="diff" tabIndex={0} role="region" aria-label="Spans of both traces">
        {spans.length === 0 ? (
          <p className="quiet diff__none">No span of this kind.</p>
        ) : (
          <div role="table" aria-label="Spans of both traces" aria-rowcount={spans.length + 1} className="diff__table">
            <div role="rowgroup" className="diff__head">
              <div role="row" aria-rowindex={1} className="diff__row">
                {["Span", "Change", "Left", "Right", "Difference"].map((name) => (
                  <span key={name} role="columnheader">
                    {name}
                  </span>
                ))}
              </div>
            </div>
            <div role="rowgroup" className="diff__body" style={{ height: list.getTotalSize() }}>
              {list.getVirtualItems().map((item) => {
                const span = spans[item.index];
                return span === undefined ? null : (
                  <div
                    key={`${span.left_span_id ?? ""} ${span.right_span_id ?? ""}`}
                    role="row"
                    aria-rowindex={item.index + 2}
                    className="diff__row"
                    data-change={span.change}
                    style={{ transform: `translateY(${item.start}px)` }}
                  >
                    <Row span={span} data={data} longest={longest} />
                  </div>
                );
              })}
            </div>
          </div>
        )}
      </div>
    </Card>
  );
}
