// A process of its own that loads a repository: `load-in-process.ts <endpoint> <cache> <name>`; prints "ready" when it has
// listed it, then downloads what a model needs.
import { downloadModel, hubFiles } from "@paligemma/hub/node";

const [endpoint = "", cache = "", name = ""] = process.argv.slice(2);
const files = await hubFiles(name, {
  endpoint,
  cache,
  environment: { HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" },
  pieceBytes: 65_536,
  retry: { delayMs: 20 },
});
process.stdout.write("ready\n");
await downloadModel(files);
process.stdout.write("done\n");
