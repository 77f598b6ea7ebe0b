// First of all: what follows defines classes with these symbols.
// oxlint-disable-next-line import/no-unassigned-import
import "./polyfill.ts";
import { setUpTheme } from "./ui/theme.ts";
import { Page } from "./page.ts";

setUpTheme();
new Page().start();
