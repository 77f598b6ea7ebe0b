import type { Command } from "commander";
import { answerCommand } from "./answer.ts";
import { captionCommand } from "./caption.ts";
import { convertCommand } from "./convert.ts";
import { demoCommand } from "./demo.ts";
import { detectCommand } from "./detect.ts";
import { evalCommand } from "./eval.ts";
import { generateCommand } from "./generate.ts";
import { inspectCommand } from "./inspect.ts";
import { ocrCommand } from "./ocr.ts";
import { prepareCommand } from "./prepare.ts";
import { previewCommand } from "./preview.ts";
import { quantizeCommand } from "./quantize.ts";
import { segmentCommand } from "./segment.ts";

/** Every command, in the order of the help. A new command is a file beside this one and a line here. */
export const commands: readonly (() => Command)[] = [
  demoCommand,
  captionCommand,
  answerCommand,
  ocrCommand,
  detectCommand,
  segmentCommand,
  generateCommand,
  inspectCommand,
  convertCommand,
  quantizeCommand,
  prepareCommand,
  previewCommand,
  evalCommand,
];
