// Loads the embedded model and finds shapes. For another model, name its folder instead of `folder`.
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma } from "paligemma/node";

await using backend = await createNodeBackend({ device: "cpu" });
await using model = await loadPaliGemma(fileURLToPath(folder), { backend });

const picture = fileURLToPath(new URL("../../apps/cli/assets/demo.png", import.meta.url));
console.log(await model.caption(picture));
console.log(await model.answer(picture, "how many triangles are there?"));

const { items } = await model.detect(picture, ["circle", "triangle"]);
for (const { label, pixels } of items) console.log(label, pixels);
