import type { NdArray } from "@paligemma/core";
import { attention, concat, reshape } from "@paligemma/graph";
import { expect } from "vitest";
import { exact, expectClose, random, type Reference } from "./arrays.ts";
import { runOnce, type Bench } from "./bench.ts";
import * as reference from "./reference.ts";

const HEAD_DIM = 16;

const VARIANTS = [
  { name: "equal heads", heads: 4, keyValueHeads: 4 },
  { name: "equal heads with biases", heads: 4, keyValueHeads: 4, biased: true },
  { name: "one key head", heads: 4, keyValueHeads: 1 },
  { name: "one key head with biases", heads: 4, keyValueHeads: 1, biased: true },
  { name: "grouped heads", heads: 4, keyValueHeads: 2 },
  { name: "grouped heads, soft-capped", heads: 4, keyValueHeads: 2, softcap: 2 },
  { name: "equal heads, masked", heads: 4, keyValueHeads: 4, masked: true },
  { name: "one key head, masked", heads: 4, keyValueHeads: 1, masked: true },
  { name: "grouped heads, soft-capped and masked", heads: 4, keyValueHeads: 2, softcap: 2, masked: true },
] as const;

/** Added to what is hidden, by arithmetic format; half precision ends at 65 504. */
const HIDDEN = { float32: -1e30, bfloat16: -1e30, float16: -6e4 } as const;

/** A mask [batch, 1, queries, keys]: causal from the end, and the first row of the batch does not see its first key. */
function maskOf(batch: number, queries: number, keys: number, least: number): NdArray<"float32"> {
  const data = Float32Array.from({ length: batch * queries * keys }, (_, i) => {
    const [key, query, row] = [i % keys, Math.floor(i / keys) % queries, Math.floor(i / (keys * queries))];
    const hidden = key > query + keys - queries || (row === 0 && key === 0 && keys > 1);
    return hidden ? least : 0;
  });
  return { dtype: "float32", shape: [batch, 1, queries, keys], data };
}

/** Attention in all its forms, with the target's own operators and with plain ones, against float64. */
export function attentionTests(bench: Bench): void {
  const { test, tolerances } = bench;
  for (const variant of VARIANTS) {
    const { name, heads, keyValueHeads } = variant;
    const masked = "masked" in variant;
    const wide = heads * HEAD_DIM;
    const narrow = keyValueHeads * HEAD_DIM;
    const biases =
      "biased" in variant ? ([random([wide], 4), random([narrow], 5), random([narrow], 6)] as const) : undefined;
    /** x and its bias */
    const biased = (x: NdArray, which: 0 | 1 | 2): Reference => {
      const { shape, data } = exact(x);
      const bias = biases && exact(biases[which]).data;
      return { shape, data: bias ? data.map((value, i) => value + bias[i % bias.length]!) : data };
    };
    const softcap = "softcap" in variant ? variant.softcap : undefined;
    const options = { heads, keyValueHeads, headDim: HEAD_DIM, scale: 0.3, ...(softcap !== undefined && { softcap }) };

    /** queries new tokens after `past` old ones */
    async function check(batch: number, queries: number, past: number): Promise<void> {
      const keys = past + queries;
      const q = random([batch, queries, heads * HEAD_DIM], 1);
      const [k, v] = [
        random([batch, keys, keyValueHeads * HEAD_DIM], 2),
        random([batch, keys, keyValueHeads * HEAD_DIM], 3),
      ];
      const cut = (x: NdArray, from: number, to: number): NdArray<"float32"> => {
        const width = x.shape[2]!;
        const parts = Array.from({ length: batch }, (_, b) => [
          ...(x.data as Float32Array).subarray((b * keys + from) * width, (b * keys + to) * width),
        ]);
        return { dtype: "float32", shape: [batch, to - from, width], data: Float32Array.from(parts.flat()) };
      };
      const mask = maskOf(batch, queries, keys, HIDDEN[bench.backend.target.compute]);
      const feeds = {
        q,
        oldKeys: cut(k, 0, past),
        oldValues: cut(v, 0, past),
        keys: cut(k, past, keys),
        values: cut(v, past, keys),
        ...(masked && { mask }),
      };
      const expected = reference.attention(biased(q, 0), biased(k, 1), biased(v, 2), {
        ...options,
        ...(masked && { mask: exact(mask) }),
      });
      const width = keyValueHeads * HEAD_DIM;
      const own = bench.backend.target;
      for (const [fused, few] of [
        [own.fused, []],
        [own.fused, ["batch", "tokens"]],
        [new Set<never>(), []],
      ] as const) {
        const { y } = await runOnce(
          bench.backend,
          feeds,
          (g) => {
            const joined = (a: string, b: string) =>
              concat(
                [g.input(a, "float32", ["batch", "past", width]), g.input(b, "float32", ["batch", "tokens", width])],
                1,
                "total",
              );
            const query = g.input("q", "float32", ["batch", "tokens", heads * HEAD_DIM]);
            const [allKeys, allValues] = [joined("oldKeys", "keys"), joined("oldValues", "values")];
            const masking = masked ? { mask: g.input("mask", "float32", ["batch", 1, "tokens", "total"]) } : {};
            const added = biases && {
              biases: [g.constant(biases[0]), g.constant(biases[1]), g.constant(biases[2])] as const,
            };
            return { y: attention(query, allKeys, allValues, { ...options, ...masking, ...added }) };
          },
          { ...own, fused },
          { few },
        );
        expectClose(y, expected, tolerances.operator);
      }
      if (masked && batch === 1 && queries === 1 && own.fused.has("FusedMatMul")) {
        const { y } = await runOnce(bench.backend, feeds, (g) => {
          const old = (input: string) => reshape(g.input(input, "float32", [1, "past", width]), ["past", 1, width]);
          const now = (input: string) => g.input(input, "float32", [1, 1, width]);
          return {
            y: attention(g.input("q", "float32", [1, 1, heads * HEAD_DIM]), now("keys"), now("values"), {
              ...options,
              mask: g.input("mask", "float32", [1, 1, 1, "total"]),
              before: { key: old("oldKeys"), value: old("oldValues") },
            }),
          };
        });
        expectClose(y, expected, tolerances.operator);
      }
    }

    test(`attention, ${name}: 1, 40 and 70 tokens, two rows`, async () => {
      for (const queries of [1, 40, 70]) await check(2, queries, 0);
    });
    test(`attention, ${name}: one token after 33`, async () => {
      await check(1, 1, 33);
      await check(1, 1, 1);
      await check(2, 1, 33);
    });
    test(`attention, ${name}: 5 tokens after 12`, async () => {
      await check(2, 5, 12);
    });
  }

  test("a query that may look nowhere gets no NaN", async () => {
    // Rows of padding have every key hidden; what comes out is never used, but it must not poison what follows.
    const [q, k, v] = [random([1, 2, 32], 1), random([1, 2, 16], 2), random([1, 2, 16], 3)];
    const least = HIDDEN[bench.backend.target.compute];
    const mask: NdArray = { dtype: "float32", shape: [1, 1, 2, 2], data: Float32Array.of(least, least, 0, 0) };
    const { y } = await runOnce(bench.backend, { q, k, v, mask }, (g) => ({
      y: attention(
        g.input("q", "float32", [1, 2, 32]),
        g.input("k", "float32", [1, 2, 16]),
        g.input("v", "float32", [1, 2, 16]),
        {
          heads: 2,
          keyValueHeads: 1,
          headDim: 16,
          scale: 1,
          mask: g.input("mask", "float32", [1, 1, 2, 2]),
        },
      ),
    }));
    expect([...(y!.data as Float32Array)].every(Number.isFinite)).toBe(true);
  });
}
