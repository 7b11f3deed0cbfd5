import { chooseTheme, useThemeChoice, type ThemeChoice } from "../lib/theme";
import { Icon, type IconName } from "../ui/Icon";

const NEXT: Record<ThemeChoice, ThemeChoice> = { system: "light", light: "dark", dark: "system" };
const ICONS: Record<ThemeChoice, IconName> = { system: "screen", light: "sun", dark: "moon" };
const WORDS: Record<ThemeChoice, string> = { system: "as the system", light: "light", dark: "dark" };

/** Steps through the themes: as the system has it, light, dark. */
export function ThemeSwitch() {
  const choice = useThemeChoice();
  const label = `Theme: ${WORDS[choice]}. Change to ${WORDS[NEXT[choice]]}.`;
  return (
    <button
      type="button"
      className="button button--quiet theme"
      aria-label={label}
      title={label}
      onClick={() => chooseTheme(NEXT[choice])}
    >
      <Icon name={ICONS[choice]} />
    </button>
  );
}
