import type { Mark } from "../lib/status";
import { Icon } from "./Icon";

/** A state as colour, icon and word. */
export function Status({ mark, strong = false }: { mark: Mark; strong?: boolean }) {
  return (
    <span className={`status status--${mark.tone}${strong ? " status--strong" : ""}`}>
      <Icon name={mark.icon} size={14} />
      {mark.word}
    </span>
  );
}
