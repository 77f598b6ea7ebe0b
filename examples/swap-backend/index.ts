// The model knows an interface only, so a backend can be anything that keeps it: this one counts what it is asked to run.
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma } from "paligemma/node";

const runs = new Map<string, number>();

function counting(backend: Backend): Backend {
  return new Proxy(backend, {
    get(target, property) {
      if (property !== "compile") return bound(target, property);
      return async (...[graph, options]: Parameters<Backend["compile"]>) => {
        const session = await target.compile(graph, options);
        return new Proxy(session, {
          get(inner, name) {
            if (name === "run") runs.set(graph.name, (runs.get(graph.name) ?? 0) + 1);
            return bound(inner, name);
          },
        });
      };
    },
  });
}

function bound(target: object, property: string | symbol): unknown {
  const value: unknown = Reflect.get(target, property);
  return typeof value === "function" ? value.bind(target) : value;
}

await using backend = counting(await createNodeBackend());
await using model = await loadPaliGemma(fileURLToPath(folder), { backend });
const picture = fileURLToPath(new URL("../../apps/cli/assets/demo.png", import.meta.url));
console.log(await model.caption(picture));
for (const [graph, count] of runs) console.log(`${graph} ran ${count} times`);
