import { createNodeBackend } from "@paligemma/backend-node";
import { castTensor, checkpointOf, type Checkpoint } from "@paligemma/weights";
import { createModel } from "paligemma";
import { expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, int64, openTiny, pixels } from "./hf-tiny.ts";

/** Every tensor of a checkpoint in another format, computed while it is read. */
function inFormat(checkpoint: Checkpoint, ...dtypes: readonly ("float16" | "bfloat16" | "float32")[]): Checkpoint {
  const refs = [...checkpoint.tensors.values()].map((ref) =>
    dtypes.reduce((cast, dtype) => castTensor(cast, dtype), ref),
  );
  return checkpointOf(refs);
}

it.each(["float16", "bfloat16"] as const)(
  "a %s checkpoint runs with float32 arithmetic on its rounded weights",
  async (half) => {
    await using backend = await createNodeBackend();
    for (const name of ["pg1-tiny", "pg2-tiny"] as const) {
      const { config, checkpoint } = await openTiny(name);
      const inputs = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
      await using stored = await createModel({ config, checkpoint: inFormat(checkpoint, half), backend });
      await using rounded = await createModel({ config, checkpoint: inFormat(checkpoint, half, "float32"), backend });
      const [one, other] = [await stored.forward(inputs), await rounded.forward(inputs)];
      one.logits.data.forEach((score, i) =>
        expect(Math.abs(score - other.logits.data[i]!)).toBeLessThan(TOLERANCES["hf-tiny/logits"]),
      );
      const exact = await (await createModel({ config, checkpoint, backend })).forward(inputs);
      expect(one.logits.data.some((score, i) => score !== exact.logits.data[i])).toBe(true);
    }
  },
);
