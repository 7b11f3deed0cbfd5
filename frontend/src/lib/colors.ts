/** A colour per service: one prefers the same colour everywhere, and within one picture no two share one needlessly. */

export const COLORS = 12;
const FNV_OFFSET = 2_166_136_261;
const FNV_PRIME = 16_777_619;

function preferred(service: string): number {
  let hash = FNV_OFFSET;
  for (let index = 0; index < service.length; index += 1) {
    hash = Math.imul(hash ^ service.charCodeAt(index), FNV_PRIME);
  }
  // The low bits alone are weak for short names.
  return ((hash ^ (hash >>> 15)) >>> 0) % COLORS;
}

/** The CSS custom property of each service. With more services than colours, colours come again. */
export function serviceColors(services: Iterable<string>): ReadonlyMap<string, string> {
  const names = [...new Set(services)].sort();
  const taken = new Set<number>();
  const colors = new Map<string, string>();
  for (const name of names) {
    let slot = preferred(name);
    while (taken.has(slot) && taken.size < COLORS) slot = (slot + 1) % COLORS;
    taken.add(slot);
    colors.set(name, `--span-${slot}`);
  }
  return colors;
}

export function colorOf(colors: ReadonlyMap<string, string>, service: string): string {
  return `var(${colors.get(service) ?? "--span-0"})`;
}
