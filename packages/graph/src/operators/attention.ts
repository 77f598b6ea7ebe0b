import { PaliGemmaError, fromFloat32, ndArray } from "@paligemma/core";
import type { Graph, Node } from "../graph.ts";
import { formatShape, type Dim, type Value } from "../value.ts";
import { add, cast, div, mul, scalar, softmax, sub, tanh } from "./elementwise.ts";
import { einsum } from "./einsum.ts";
import { matMul } from "./linear.ts";
import { concat, gather, reshape, slice, transpose } from "./shape.ts";

/** Sizes of one attention. */
export interface AttentionOptions {
  readonly heads: number;
  /** Fewer than `heads`: each is shared by heads / keyValueHeads consecutive query heads. */
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Factor of the scores q · k. */
  readonly scale: number;
  /** scores ← cap · tanh(scores / cap), before the mask (Gemma 2). */
  readonly softcap?: number | null;
  /** Added to the scores: [batch, 1, queries, keys], 0 where a query may look. */
  readonly mask?: Value;
  /** Added to q, k and v before all else: [heads · headDim], [keyValueHeads · headDim] and the same. Not for keys head by head. */
  readonly biases?: readonly [q: Value, k: Value, v: Value];
  /** q, k, v and what comes out have the position before the batch: [queries, batch, …], [keys, batch, …]. No fused operator does. */
  readonly positionFirst?: boolean;
  /** Queries and keys at most, where their shapes do not tell. */
  readonly positions?: number;
  /**
   * Keys and values of earlier tokens as a cache has them, [past, batch, keyValueHeads · headDim], where k and v are those of the
   * query's token alone: the mask is over past + 1. For one query of one text, on targets with FusedMatMul.
   */
  readonly before?: { readonly key: Value; readonly value: Value };
}

/** Multiplications up to which a loop for each score is no slower than products, whose programs take long to compile: 2²⁶. */
const FEW_MULTIPLICATIONS = 2 ** 26;

/**
 * Attention of q [batch, queries, heads · headDim] over k, v [batch, keys, keyValueHeads · headDim], or head by head
 * [batch, keyValueHeads, keys, headDim], → [batch, queries, heads · headDim]. The best operator of the target is taken; all
 * give the same numbers, in float32 where the inputs are half precision. The fused ones take no keys head by head.
 */
export function attention(q: Value, k: Value, v: Value, options: AttentionOptions): Value {
  const { heads, keyValueHeads, headDim, scale, softcap, mask } = options;
  const byHead = k.shape.length === 4;
  const width = byHead
    ? k.shape[1] === keyValueHeads && k.shape[3] === headDim
    : k.shape[2] === keyValueHeads * headDim;
  if (q.shape[2] !== heads * headDim || !width || heads % keyValueHeads !== 0 || v.shape.length !== k.shape.length) {
    throw new PaliGemmaError(
      "graph/shape",
      `attention: ${heads} heads over ${keyValueHeads} of ${headDim}, but q is ${formatShape(q.shape)} and k ${formatShape(k.shape)}`,
    );
  }
  const { fused } = q.graph.target;
  const { biases, ...unbiased } = options;
  const equal = !byHead && heads === keyValueHeads && !softcap && !mask && !options.positionFirst && !options.before;
  if (biases) {
    if (equal && q.dtype === "float32" && fused.has("MultiHeadAttention with bias"))
      return multiHeadAttention([q, k, v, concat(biases, 0)], options);
    const [ofQ, ofK, ofV] = biases;
    return attention(add(q, ofQ), add(k, ofK), add(v, ofV), unbiased);
  }
  if (q.dtype === "float16") {
    // Scores and their sums need more than 11 bits; what they are made from, and the cache, do not.
    const wide = (x: Value): Value => cast(x, "float32");
    const inner = { ...options, ...(mask && { mask: wide(mask) }) };
    return cast(attention(wide(q), wide(k), wide(v), inner), "float16");
  }
  if (options.before) return cachedAttention(q, k, v, options.before, options);
  const few = q.shape.slice(0, 2).every((dimension) => q.graph.isFew(dimension));
  if (fused.has("Einsum") && !byHead && (few || isShort(q, k, options))) return loopedAttention(q, k, v, options);
  if (byHead || options.positionFirst) return plainAttention(q, k, v, options);
  if (equal && fused.has("MultiHeadAttention")) return multiHeadAttention([q, k, v], options);
  if (fused.has("Attention")) {
    return q.graph.node({
      op: "Attention",
      inputs: mask ? [q, k, v, mask] : [q, k, v],
      attributes: {
        q_num_heads: { int: heads },
        kv_num_heads: { int: keyValueHeads },
        scale: { float: scale },
        softcap: { float: softcap ?? 0 },
        is_causal: { int: 0 },
      },
      outputs: [q],
    })[0]!;
  }
  return plainAttention(q, k, v, options);
}

/** Of query, key, value and, if any, their biases in a row. */
function multiHeadAttention(inputs: readonly [Value, ...Value[]], { heads, scale }: AttentionOptions): Value {
  const [q] = inputs;
  return q.graph.node({
    op: "MultiHeadAttention",
    domain: "com.microsoft",
    inputs,
    attributes: { num_heads: { int: heads }, scale: { float: scale } },
    outputs: [q],
  })[0]!;
}

/**
 * One query over a cache that is read once and where it lies: the query heads that share a key head are the rows of one product, and
 * the query's own token, which is not in the cache yet, is added to what comes of it.
 */
function cachedAttention(
  q: Value,
  k: Value,
  v: Value,
  before: { readonly key: Value; readonly value: Value },
  { heads, keyValueHeads, headDim, scale, softcap, mask }: AttentionOptions,
): Value {
  const g = q.graph;
  const group = heads / keyValueHeads;
  const [past] = before.key.shape;
  const total = mask?.shape.at(-1);
  if (q.shape[0] !== 1 || q.shape[1] !== 1 || total === undefined)
    throw new PaliGemmaError(
      "graph/shape",
      `attention over a cache is for one query with a mask, not for ${formatShape(q.shape)}`,
    );
  // Axes: k key-value heads · g query heads of each · s past positions · e head size
  const product = (a: Value, b: Value, last: Dim, attributes: Node["attributes"]): Value =>
    g.node({
      op: "FusedMatMul",
      domain: "com.microsoft",
      inputs: [a, b],
      // The cache has its positions before its heads.
      attributes: { ...attributes, transBatchB: { int: b.shape[0] === past ? 1 : 0 } },
      outputs: [{ dtype: "float32", shape: [keyValueHeads, group, last] }],
    })[0]!;
  const rows = reshape(q, [keyValueHeads, group, headDim]);
  const cached = (x: Value): Value => reshape(x, [past!, keyValueHeads, headDim]);
  const own = (x: Value): Value => reshape(x, [keyValueHeads, 1, headDim]);
  const score = { transB: { int: 1 }, alpha: { float: scale } };
  const parts = [product(rows, cached(before.key), past!, score), product(rows, own(k), 1, score)];
  let scores = concat(parts, 2, String(total));
  if (softcap) scores = mul(tanh(div(scores, scalar(g, softcap, "float32"))), scalar(g, softcap, "float32"));
  const shares = softmax(add(scores, reshape(mask!, [1, 1, total])));
  const mixed = product(slice(shares, 2, [0, -1], past!), cached(before.value), headDim, {});
  return reshape(add(mixed, mul(slice(shares, 2, [-1], 1), own(v))), q.shape);
}

/** True where scores are few, however long the request is. */
function isShort(
  q: Value,
  k: Value,
  { heads, headDim, positions = Infinity, positionFirst }: AttentionOptions,
): boolean {
  const most = ({ shape }: Value): number => {
    const length = shape[positionFirst ? 0 : 1]!;
    return typeof length === "number" ? length : positions;
  };
  return most(q) * most(k) * heads * headDim <= FEW_MULTIPLICATIONS;
}

/** The same as sums of products that take their inputs as they lie: nothing is turned around. */
function loopedAttention(
  q: Value,
  k: Value,
  v: Value,
  { heads, keyValueHeads, headDim, scale, softcap, mask, positionFirst = false }: AttentionOptions,
): Value {
  const g = q.graph;
  const group = heads / keyValueHeads;
  const [batch, queries] = positionFirst ? [q.shape[1]!, q.shape[0]!] : [q.shape[0]!, q.shape[1]!];
  const keys = k.shape[positionFirst ? 0 : 1]!;
  // b batch, t queries, s keys, k key-value heads, g query heads of each, d head size
  const [asked, held] = positionFirst ? ["tbkgd", "sbkd"] : ["btkgd", "bskd"];
  const apart = (x: Value): Value => reshape(x, [...x.shape.slice(0, 2), keyValueHeads, headDim]);
  const rows = reshape(q, [...q.shape.slice(0, 2), keyValueHeads, group, headDim]);
  const scaled = mul(rows, scalar(g, scale, "float32"));
  const shape = [batch, keyValueHeads, group, queries, keys];
  let scores = einsum(`${asked},${held}->bkgts`, [scaled, apart(k)], shape);
  if (softcap) scores = mul(tanh(div(scores, scalar(g, softcap, "float32"))), scalar(g, softcap, "float32"));
  if (mask) scores = add(scores, reshape(mask, [batch, 1, 1, queries, keys]));
  return reshape(einsum(`bkgts,${held}->${asked}`, [softmax(scores), apart(v)], rows.shape), q.shape);
}

/**
 * The same with matrix products only. Without causality inside the operator every query row stands for itself, so the
 * query heads that share a key head are folded into its rows and nothing is repeated.
 */
function plainAttention(
  q: Value,
  k: Value,
  v: Value,
  { heads, keyValueHeads, headDim, scale, softcap, mask, positionFirst = false }: AttentionOptions,
): Value {
  const g = q.graph;
  const [batch, queries] = positionFirst ? [q.shape[1]!, q.shape[0]!] : [q.shape[0]!, q.shape[1]!];
  const byHead = k.shape.length === 4;
  const keys = k.shape[byHead ? 2 : positionFirst ? 0 : 1]!;
  const group = heads / keyValueHeads;
  const rows = typeof queries === "number" ? group * queries : `${group}*${queries}`;
  const apart = (x: Value, length: Dim, of: number): Value =>
    reshape(x, positionFirst ? [length, batch, of, headDim] : [batch, length, of, headDim]);
  const byHeads = positionFirst ? [1, 2, 0, 3] : [0, 2, 1, 3]; // → [batch, heads, length, headDim]
  const folded = reshape(transpose(apart(q, queries, heads), byHeads), [batch, keyValueHeads, rows, headDim]);
  const kt = byHead
    ? transpose(k, [0, 1, 3, 2])
    : transpose(apart(k, keys, keyValueHeads), positionFirst ? [1, 2, 3, 0] : [0, 2, 3, 1]);
  const vt = byHead ? v : transpose(apart(v, keys, keyValueHeads), byHeads);
  let scores = matMul(mul(folded, scalar(g, scale, "float32")), kt);
  if (softcap) scores = mul(tanh(div(scores, scalar(g, softcap, "float32"))), scalar(g, softcap, "float32"));
  if (mask) {
    const open = reshape(scores, [batch, heads, queries, keys]);
    scores = reshape(add(open, mask), [batch, keyValueHeads, rows, keys]);
  }
  const mixed = matMul(softmax(scores), vt);
  const open = transpose(reshape(mixed, [batch, heads, queries, headDim]), positionFirst ? [2, 0, 1, 3] : [0, 2, 1, 3]);
  return reshape(open, [...q.shape.slice(0, 2), heads * headDim]);
}

/**
 * Cosines and sines of rotary positions, in the arithmetic format: two tables [positions, headDim / 2], or what stands in them for the
 * positions at hand, [batch, tokens, headDim / 2].
 */
export interface RotaryTables {
  readonly cos: Value;
  readonly sin: Value;
}

/** Tables for positions 0 … positions − 1: angle = position · theta^(−2j / headDim), j = 0 … headDim / 2 − 1. */
export function rotaryTables(
  g: Graph,
  options: { readonly positions: number; readonly headDim: number; readonly theta: number },
): RotaryTables {
  const { positions, headDim, theta } = options;
  const half = headDim / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  frequencies(headDim, theta).forEach((frequency, j) => {
    for (let position = 0; position < positions; position++) {
      const angle = Math.fround(position * frequency);
      cos[position * half + j] = Math.cos(angle);
      sin[position * half + j] = Math.sin(angle);
    }
  });
  const table = (values: Float32Array): Value =>
    g.constant(fromFloat32(ndArray("float32", [positions, half], values), g.target.compute));
  return { cos: table(cos), sin: table(sin) };
}

/**
 * The same for `positions` (int64 [batch, tokens]), computed by the graph: no table of megabytes to be made and kept, for two operators
 * more.
 */
export function rotaryAt(
  positions: Value,
  { headDim, theta }: { readonly headDim: number; readonly theta: number },
): RotaryTables {
  const g = positions.graph;
  const [batch, tokens] = positions.shape as readonly [Dim, Dim];
  const half = headDim / 2;
  const each = g.constant(ndArray("float32", [half], frequencies(headDim, theta)));
  const angles = mul(cast(reshape(positions, [batch, tokens, 1]), "float32"), each);
  const of = (op: "Cos" | "Sin"): Value =>
    cast(g.node({ op, inputs: [angles], outputs: [angles] })[0]!, g.target.compute);
  return { cos: of("Cos"), sin: of("Sin") };
}

/** The reference rounds the frequency and the angle to float32 before it takes the cosine. */
function frequencies(headDim: number, theta: number): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, j) => 1 / theta ** ((2 * j) / headDim));
}

/** x [batch, tokens, heads · headDim] rotated by its positions (int64 [batch, tokens]), halves as pairs ("NeoX"). */
export function rotate(x: Value, positions: Value, tables: RotaryTables, heads: number): Value {
  const g = x.graph;
  const areTables = tables.cos.shape.length === 2;
  if (g.target.fused.has("RotaryEmbedding")) {
    return g.node({
      op: "RotaryEmbedding",
      inputs: [x, tables.cos, tables.sin, ...(areTables ? [positions] : [])],
      attributes: { num_heads: { int: heads }, interleaved: { int: 0 } },
      outputs: [x],
    })[0]!;
  }
  const [batch, tokens, width] = x.shape;
  const half = (width as number) / heads / 2;
  const parts = reshape(x, [batch!, tokens!, heads, 2, half]);
  const pick = (i: number): Value => gather(parts, g.constant(ndArray("int64", [], BigInt64Array.of(BigInt(i)))), 3);
  const at = (table: Value): Value => reshape(areTables ? gather(table, positions) : table, [batch!, tokens!, 1, half]);
  const [a, b, cos, sin] = [pick(0), pick(1), at(tables.cos), at(tables.sin)];
  const turned = concat([sub(mul(a, cos), mul(b, sin)), add(mul(b, cos), mul(a, sin))], 3);
  return reshape(turned, x.shape);
}
