import { Button } from "../../ui/Button";
import { Icon } from "../../ui/Icon";
import { foundText, type Searching } from "./find";

/** The API takes no longer text. */
const TEXT_MAX = 1000;

interface Props {
  text: string;
  found: number | null; // null: nothing is searched for
  server: Searching; // how the search in what only the server has goes
  at: number; // place of the selected span among what was found, from 1; 0: none
  onText: (text: string) => void;
  onStep: (by: 1 | -1) => void;
}

/** Looks for a text within the trace; Enter goes to the next match, Shift and Enter to the one before. */
export function FindBox({ text, found, server, at, onText, onStep }: Props) {
  return (
    <div className="find" role="search" aria-label="Within the trace">
      <input
        type="search"
        name="find"
        value={text}
        maxLength={TEXT_MAX}
        placeholder="Find in this trace"
        aria-label="Find in this trace"
        spellCheck={false}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          onStep(event.shiftKey ? -1 : 1);
        }}
      />
      <span className="quiet find__count" role="status">
        {foundText(found, at, server)}
      </span>
      <Button look="quiet" aria-label="Match before" disabled={found === null || found === 0} onClick={() => onStep(-1)}>
        <Icon name="up" size={14} />
      </Button>
      <Button look="quiet" aria-label="Next match" disabled={found === null || found === 0} onClick={() => onStep(1)}>
        <Icon name="down" size={14} />
      </Button>
    </div>
  );
}
