// Writes a bundle from weights that are read slowly, so that there is time to kill it.
//   node slow-bundle.mjs FROM TO DTYPE MILLISECONDS
import { setTimeout as pause } from "node:timers/promises";
import { writeBundle } from "@paligemma/quantization/node";
import { folderFiles } from "@paligemma/weights/node";

const [from, to, dtype, milliseconds] = process.argv.slice(2);
const files = await folderFiles(from);
const slow = {
  ...files,
  open: async (path, signal) => {
    const source = await files.open(path, signal);
    let header = 2; // opening reads its length and itself
    const read = async (start, end, stop) => {
      if (header-- <= 0) await pause(Number(milliseconds));
      return source.read(start, end, stop);
    };
    return { ...source, read };
  },
};
await writeBundle(to, slow, { dtype, threads: 1 });
