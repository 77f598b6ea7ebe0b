// Prepares a dataset in a process of its own, and kills it with SIGKILL where it is told to.
//   node prepare-child.mjs <settings.json>
import { readFileSync } from "node:fs";
import { openDataset, prepare } from "@paligemma/datasets/node";
import { createProcessor } from "@paligemma/processor";

const { data, out, processor, options, killAt, delay } = JSON.parse(readFileSync(process.argv[2], "utf8"));
let armed = killAt !== null;
await prepare(await openDataset(data), {
  ...options,
  out,
  processor: createProcessor(processor),
  onProgress({ done }) {
    if (!armed || done < killAt) return;
    armed = false;
    // Some time later, whatever is going on then: a file half written, a record in a thread.
    setTimeout(() => process.kill(process.pid, "SIGKILL"), delay);
  },
});
