import type { Backend } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { bitsOf, PaliGemmaError } from "@paligemma/core";
import type { DecoderState } from "@paligemma/gemma";
import { contentKey } from "./content-key.ts";
import type { ForwardInputs } from "./forward.ts";
import { Recent } from "./recent.ts";

/** The least positions that a decoder's cache has room for. */
const LEAST_ROOM = 64;

/** Throws `paligemma/option` for a number of bytes that cannot be meant. */
export function checkBytes(name: string, bytes: number): void {
  if (Number.isSafeInteger(bytes) && bytes >= 0) return;
  throw new PaliGemmaError(
    "paligemma/option",
    `${name} is ${String(bytes)}; it is a whole number of bytes, 0 for none`,
  );
}

/**
 * Prompts that ran, with their keys and values: the very same prompt, pictures and padding included, goes on from a copy. Other
 * prompts about the same picture cannot: in a prefix every image row sees the prompt's words.
 */
export class PromptCache implements Disposable {
  readonly #backend: Backend;
  readonly #config: GemmaConfig;
  readonly #recent: Recent<DecoderState>;

  /** Keeps at most `limit` bytes; 0 keeps nothing. */
  constructor(backend: Backend, config: GemmaConfig, limit: number) {
    this.#backend = backend;
    this.#config = config;
    this.#recent = new Recent(limit);
  }

  /** The state after the prompt of `inputs`: a copy of one that is kept, or `run`, of which a copy is kept. */
  async state(
    inputs: ForwardInputs,
    variant: string,
    { room, signal }: { readonly room: number; readonly signal: AbortSignal | undefined },
    run: () => Promise<DecoderState>,
  ): Promise<DecoderState> {
    const { pixelValues, inputIds, attentionMask, tokenTypeIds } = inputs;
    const bytes = this.#bytesOf(inputIds.shape, room);
    const arrays = [pixelValues, inputIds, attentionMask, tokenTypeIds];
    const key = this.#recent.fits(bytes) ? await contentKey(arrays, variant) : undefined;
    if (key === undefined) return await run();
    if (this.#recent.has(key)) return await this.#recent.use(key, (known) => known.fork({ signal }));
    const state = await run();
    try {
      // What is kept outlives the call, and so its signal.
      this.#recent.put(key, await state.fork({ signal: undefined }), bytes);
    } catch (error) {
      state.dispose();
      throw error;
    }
    return state;
  }

  #bytesOf([batch = 0, tokens = 0]: readonly number[], room: number): number {
    const { numHiddenLayers, numKeyValueHeads, headDim, vocabSize } = this.#config;
    const positions = Math.max(LEAST_ROOM, tokens + room);
    const numbers = 2 * numHiddenLayers * numKeyValueHeads * headDim * positions * batch;
    const scores = batch * vocabSize * Float32Array.BYTES_PER_ELEMENT;
    return (numbers * bitsOf(this.#backend.target.compute)) / 8 + scores;
  }

  [Symbol.dispose](): void {
    this.#recent[Symbol.dispose]();
  }
}
