import { readFile, writeFile } from "node:fs/promises"; import { join } from "node:path";
import { parseConfig } from "@paligemma/config"; import { CPU } from "@paligemma/graph"; import { openCheckpoint } from "@paligemma/weights/node";
import { createModel } from "paligemma"; import { encodeWithWeights } from "../../packages/backend-node/src/weight-files.ts";
const folder = process.argv[2]!; const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8"))); const checkpoint = await openCheckpoint(folder);
const fake = { name: "x", target: CPU, compile: async (m: any) => { await writeFile(`/work/lab/k/${m.name.replace(/[^a-z]/g,"")}.onnx`, (await encodeWithWeights(m)).bytes); return { model: m, dispose: async () => {} }; } } as any;
await createModel({ config, checkpoint, backend: fake });
