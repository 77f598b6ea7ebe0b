import { readFileSync } from "node:fs";
import { Command } from "commander";
import { commands } from "./commands/index.ts";

/** The whole command line. Nothing in it ends the process: mistakes are thrown. */
export function createProgram(): Command {
  const program = withHandling(new Command("paligemma"))
    .description("Captions, answers, text and boxes of pictures, by PaliGemma on this machine.")
    .version((JSON.parse(readFileSync(MANIFEST, "utf8")) as { readonly version: string }).version)
    .addHelpText("after", HELP)
    .exitOverride()
    .configureOutput({ writeErr: () => {} }); // `run` writes mistakes, once;
  for (const create of commands) program.addCommand(withHandling(create()));
  return program;
}

/** Mistakes are thrown, and `run` writes them, once. Commands that are added do not inherit these settings. */
function withHandling(command: Command): Command {
  return command.exitOverride().configureOutput({ writeErr: () => {} });
}

const MANIFEST = new URL("../package.json", import.meta.url);

const HELP = `
Without --model, the commands use tiny-shapes, a small embedded model that knows circles, squares, triangles and stars.

Examples:
  $ paligemma demo
  $ paligemma caption picture.jpg
  $ paligemma answer "what color is the star?" picture.png
  $ paligemma detect "circle, star" picture.png --out boxes.png
  $ paligemma inspect google/paligemma2-3b-mix-224

Exit codes: 0 done, 1 failed, 2 the command line was wrong, 130 interrupted.`;
