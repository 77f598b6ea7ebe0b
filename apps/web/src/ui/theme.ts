import { element } from "./elements.ts";

type Theme = "system" | "light" | "dark";

const ORDER: readonly Theme[] = ["system", "light", "dark"];
const KEY = "theme";
const LABEL = { system: "Colours: like the system", light: "Colours: light", dark: "Colours: dark" } as const;
/** Outlines in a square of 24: half a disc, a sun, a moon. */
const ICON = {
  system: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  light:
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  dark: "M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5z",
} as const;

/** Keeps the page in the colours that were chosen, the system's unless told. */
export function setUpTheme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = element("theme", HTMLButtonElement);
  let theme = stored();
  const show = (): void => {
    document.documentElement.dataset["theme"] = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    button.setAttribute("aria-label", LABEL[theme]);
    button.title = LABEL[theme];
    element("theme-path", SVGPathElement).setAttribute("d", ICON[theme]);
  };
  dark.addEventListener("change", show);
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length]!;
    localStorage.setItem(KEY, theme);
    show();
  });
  show();
}

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return ORDER.find((theme) => theme === value) ?? "system";
}
