import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import { parseConfig } from "@paligemma/config";
import { openCheckpoint } from "@paligemma/weights/node";
import { createModel } from "paligemma";
const folder = process.argv[2]!;
const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
const backend = await createNodeBackend({ threads: 2 });
const checkpoint = await openCheckpoint(folder);
const t0 = performance.now();
const c0 = process.cpuUsage();
const model = await createModel({
  config,
  checkpoint,
  backend,
  onProgress: (p) => console.log((performance.now() - t0).toFixed(0), JSON.stringify(p).slice(0, 90)),
});
const c = process.cpuUsage(c0);
console.log("load", performance.now() - t0, "user", c.user / 1e3, "sys", c.system / 1e3);
await backend.dispose();
