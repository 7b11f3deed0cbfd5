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
const MARGIN_ROWS = 16;
const SLOTS_MIN = 128;

type Window = readonly [from: number, to: number, slots: number];

/** What the screen can hold, without the margins: the first rows are painted before anything is measured. */
function firstWindow(rowPx: number, count: number): Window {
  return [0, Math.min(count, Math.ceil(window.innerHeight / rowPx)), SLOTS_MIN];
}

function windowAt(scrollTop: number, height: number, rowPx: number, count: number): Window {
  const wanted = Math.ceil(height / rowPx) + 1 + 2 * MARGIN_ROWS + STEP_ROWS;
  const top = Math.floor(scrollTop / rowPx / STEP_ROWS) * STEP_ROWS;
  const from = Math.max(0, Math.min(top - MARGIN_ROWS, count - wanted));
  return [from, Math.min(count, from + wanted), Math.max(SLOTS_MIN, wanted)];
}

/** The part of a list of equally high rows that is in sight (and a margin), as its box is scrolled. */
export function useRowWindow(boxRef: RefObject<HTMLElement | null>, count: number, rowPx: number): RowWindow {
  const [[from, to, slots], setWindow] = useState<Window>(() => firstWindow(rowPx, count));
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
    // It also calls once at the beginning, before the first paint; the margins can wait until after it.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const observer = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(() => move(false));
    });
    observer.observe(element);
    return () => {
      clearTimeout(timer);
      element.removeEventListener("scroll", onScroll);
      observer.disconnect();
    };
  }, [boxRef, move]);
  useEffect(() => {
    if (counted.current === count) return;
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
