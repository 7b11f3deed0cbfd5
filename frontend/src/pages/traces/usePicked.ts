import { useCallback, useState } from "react";

/** The traces that are to be compared: at most two, the third takes the place of the first. */
export function usePicked() {
  const [ids, setIds] = useState<readonly string[]>([]);
  const toggle = useCallback((id: string) => {
    setIds((old) => (old.includes(id) ? old.filter((one) => one !== id) : [...old, id].slice(-2)));
  }, []);
  const clear = useCallback(() => setIds([]), []);
  return { ids, toggle, clear };
}
