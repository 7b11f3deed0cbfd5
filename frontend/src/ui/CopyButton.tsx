import { useEffect, useState } from "react";

import { Button } from "./Button";
import { Icon } from "./Icon";

const SAY_FOR_MS = 2_000;

/** Copies a text and says so. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return undefined;
    const timer = setTimeout(() => setSaid(null), SAY_FOR_MS);
    return () => clearTimeout(timer);
  }, [said]);

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // No clipboard outside HTTPS and localhost.
      setSaid("Select and copy by hand");
    }
  };
  return (
    <Button look="quiet" onClick={() => void copy()}>
      <Icon name={said === "Copied" ? "check" : "copy"} size={14} />
      <span aria-live="polite">{said ?? label}</span>
    </Button>
  );
}
