import type { Tensor } from "@paligemma/backend";
import type { NdArray } from "@paligemma/core";

const numbers = new WeakMap<Tensor, number>();
let last = 0;

/** A text that differs for every set of tensors: weights that are fed to a graph, such as those of an adapter. */
export function tensorsKey(tensors: Readonly<Record<string, Tensor>>): string {
  return Object.values(tensors)
    .map((tensor) => {
      const known = numbers.get(tensor) ?? ++last;
      numbers.set(tensor, known);
      return known;
    })
    .join();
}

/**
 * A text that is the same for the same contents only: SHA-256 of formats, shapes and numbers, and of `variant`. Undefined where
 * there is no SHA-256, as in a page that did not come over a secure connection.
 */
export async function contentKey(
  arrays: readonly (NdArray | undefined)[],
  variant: string,
): Promise<string | undefined> {
  const { subtle } = globalThis.crypto as { readonly subtle?: SubtleCrypto };
  if (!subtle) return undefined;
  const head = arrays.map((array) => array && [array.dtype, array.shape]);
  const parts = [new TextEncoder().encode(JSON.stringify([variant, head]))];
  for (const array of arrays)
    if (array)
      parts.push(new Uint8Array(array.data.buffer as ArrayBuffer, array.data.byteOffset, array.data.byteLength));
  const hashes = await Promise.all(parts.map((part) => subtle.digest("SHA-256", part)));
  return hashes.map((hash) => hex(new Uint8Array(hash))).join("");
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
