import { PaliGemmaError } from "@paligemma/core";
import type { TensorRef } from "../checkpoint.ts";
import { LIMITS } from "../limits.ts";
import type { ModelFiles } from "../model-files.ts";
import { canonicalName } from "../names.ts";
import { openSafetensors } from "../safetensors/open.ts";
import { parseStrictJson } from "../strict-json.ts";
import { parseAdapterConfig, scaleOf, type AdapterConfig } from "./config.ts";

/** A low-rank update of one weight: `W + scale · b · a`, and with magnitudes each row of that brought to its length. */
export interface LowRankUpdate {
  /** [rank, in]; of the token table [rank, tokens]; of a convolution [rank, channels, height, width]. */
  readonly a: TensorRef;
  /** [out, rank]; of the token table [width, rank]; of a convolution [out, rank, 1, 1]. */
  readonly b: TensorRef;
  readonly scale: number;
  /** The token table: rows are inputs there. */
  readonly embedding: boolean;
  /** [out], with DoRA. */
  readonly magnitude?: TensorRef;
  /** [out], added to the layer's bias after scaling, with `lora_bias`. */
  readonly bias?: TensorRef;
}

/** A LoRA adapter: what it changes and what it replaces, under released names of the weights. */
export interface Adapter {
  readonly name: string;
  readonly config: AdapterConfig;
  readonly updates: ReadonlyMap<string, LowRankUpdate>;
  /** Tensors that were trained whole (`modules_to_save`, biases). */
  readonly replacements: ReadonlyMap<string, TensorRef>;
}

const CONFIG = "adapter_config.json";
const TENSORS = "adapter_model.safetensors";
const PART =
  /^(.+)\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)(?:\.(?!weight$|bias$)[^.]+)?(?:\.(weight|bias))?$/;
type Parts = Partial<Record<"A" | "B" | "bias" | "magnitude", TensorRef>> & { embedding?: boolean; module: string };

/**
 * Opens what PEFT's `save_pretrained` wrote of a LoRA, rsLoRA or DoRA adapter, under any spelling of the model's names. Reads the
 * configuration and the header. Throws `weights/adapter`, `weights/no-file`.
 */
export async function openAdapter(
  files: ModelFiles,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Adapter> {
  const { signal } = options;
  if (!files.paths.has(TENSORS) && files.paths.has("adapter_model.bin")) {
    throw new PaliGemmaError(
      "weights/no-file",
      `${files.name} has its tensors only as a pickle, which is not read; save it with safe_serialization=True`,
    );
  }
  const source = await files.open(CONFIG, signal);
  if (source.size > LIMITS.adapterConfigBytes)
    throw new PaliGemmaError(
      "weights/limit",
      `${source.name} has ${source.size} bytes, at most ${LIMITS.adapterConfigBytes} are read`,
    );
  const config = parseAdapterConfig(
    parseStrictJson(await source.read(0, source.size, signal), source.name, "weights/adapter"),
    source.name,
  );
  const { tensors } = await openSafetensors(await files.open(TENSORS, signal), options);
  const parts = new Map<string, Parts>();
  const replacements = new Map<string, TensorRef>();
  for (const ref of tensors.values()) {
    const bare = ref.name.replace(/^base_model\.model\./, "");
    const [, module, kind, role] = PART.exec(bare) ?? [];
    if (module === undefined) {
      const name = canonicalName(bare.replace(/\.(?:base_layer|original_module|modules_to_save(?:\.default)?)\./, "."));
      replacements.set(name, { ...ref, name });
      continue;
    }
    const part = parts.get(module) ?? { module };
    parts.set(module, part);
    if (kind === "magnitude_vector") part.magnitude = ref;
    else if (role === "bias") part.bias = ref;
    else part[kind!.endsWith("A") ? "A" : "B"] = ref;
    if (kind!.startsWith("embedding")) part.embedding = true;
  }
  const updates = new Map(
    [...parts.values()].map((part) => [canonicalName(`${part.module}.weight`), updateOf(part, config, files.name)]),
  );
  return { name: files.name, config, updates, replacements };
}

function updateOf(
  { A: a, B: b, bias, magnitude, embedding = false, module }: Parts,
  config: AdapterConfig,
  name: string,
): LowRankUpdate {
  const wrong = (what: string): PaliGemmaError => new PaliGemmaError("weights/adapter", `${name}: ${module} ${what}`);
  if (!a || !b) throw wrong(`has no lora_${a ? "B" : "A"}`);
  const rank = a.shape[0] ?? 0;
  if (
    a.shape.length < 2 ||
    b.shape.length < 2 ||
    b.shape[1] !== rank ||
    rank === 0 ||
    b.shape.slice(2).some((length) => length !== 1)
  ) {
    throw wrong(`has lora_A [${a.shape.join(", ")}] and lora_B [${b.shape.join(", ")}], whose ranks do not meet`);
  }
  if (config.dora !== (magnitude !== undefined))
    throw wrong(
      config.dora
        ? "has no magnitudes, the configuration says DoRA"
        : "has magnitudes, the configuration does not say DoRA",
    );
  return {
    a,
    b,
    scale: scaleOf(config, module, rank),
    embedding,
    ...(magnitude ? { magnitude } : {}),
    ...(bias ? { bias } : {}),
  };
}
