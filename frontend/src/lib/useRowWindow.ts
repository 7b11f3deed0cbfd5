import { useCallback, useEffect, useRef, useState, type RefObject } from "react";
import { flushSync } from "react-dom";

/** Which rows of a long list stand in the page, in which slot each. A slot's element is used again for other rows. */
export interface RowWindow {
  from: number;
  to: number; // behind the last
  slots: number; // rows of the same remainder by this never stand in the page together: use it for keys
  reveal: (index: number) => void;
}

const STEP_ROWS = 8; // the window moves by so many rows: slow scrolling then seldom renders
const MARGIN_ROWS = 24;
const START_ROWS = 32; // before the height of the box is known

function windowAt(scrollTop: number, height: number, rowPx: number, count: number): [number, number, number] {
  const shown = height === 0 ? START_ROWS : Math.ceil(height / rowPx) + 1;
  const top = Math.floor(scrollTop / rowPx / STEP_ROWS) * STEP_ROWS;
  const slots = shown + 2 * MARGIN_ROWS + STEP_ROWS;
  const from = Math.max(0, Math.min(top - MARGIN_ROWS, count - slots));
  return [from, Math.min(count, from + slots), slots];
}

/** The part of a list of equally high rows that is in sight (and a margin), as its box is scrolled. */
export function useRowWindow(boxRef: RefObject<HTMLElement | null>, count: number, rowPx: number): RowWindow {
  const [[from, to, slots], setWindow] = useState(() => windowAt(0, 0, rowPx, count));
  const counted = useRef(count);
  const move = useCallback(
    (now: boolean) => {
      const element = boxRef.current;
      if (element === null) return;
      const next = windowAt(element.scrollTop, element.clientHeight, rowPx, counted.current);
      const set = () => setWindow((old) => (old.every((value, place) => value === next[place]) ? old : next));
      // Within the scroll event, so that the rows are there in the frame that shows the new place.
      if (now) flushSync(set);
      else set();
    },
    [boxRef, rowPx],
  );
  useEffect(() => {
    const element = boxRef.current;
    if (element === null) return undefined;
    const onScroll = () => move(true);
    element.addEventListener("scroll", onScroll, { passive: true });
    const observer = new ResizeObserver(() => move(false));
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", onScroll);
      observer.disconnect();
    };
  }, [boxRef, move]);
  useEffect(() => {
    counted.current = count;
    move(false);
  }, [count, move]);

  const reveal = useCallback(
    (index: number) => {
      const element = boxRef.current;
      if (element === null) return;
      const top = index * rowPx;
      const excess = top + rowPx - (element.scrollTop + element.clientHeight);
      if (top < element.scrollTop) element.scrollTop = top;
      else if (excess > 0) element.scrollTop += excess;
    },
    [boxRef, rowPx],
  );
  return { from, to: Math.min(to, count), slots, reveal };
}
