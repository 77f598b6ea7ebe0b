import { PaliGemmaError } from "@paligemma/core";
import { isObject, type JsonObject } from "../strict-json.ts";

/** What of an `adapter_config.json` decides how its tensors change a model. */
export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  /** Scale by `alpha / √rank` instead of `alpha / rank`. */
  readonly rsLora: boolean;
  /** Weights are split into direction and magnitude (DoRA); the magnitudes are among the tensors. */
  readonly dora: boolean;
  /** Module name patterns with an `alpha` of their own. */
  readonly alphaPattern: ReadonlyMap<string, number>;
  /** The output layer follows a saved token table. */
  readonly ensureWeightTying: boolean;
  /** Which model it was trained on, if it says so. */
  readonly baseModel: string | undefined;
}

/** Settings under which the tensors mean something else than a low-rank update of a linear layer. */
const REFUSED = [
  "fan_in_fan_out",
  "layer_replication",
  "use_qalora",
  "use_bdlora",
  "target_parameters",
  "trainable_token_indices",
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "monteclora_config",
  "velora_config",
  "megatron_config",
];

/** Beginnings that leave the base weights as they are. Others (PiSSA, OLoRA, LoftQ, …) take a part out of them first. */
const PLAIN_BEGINNINGS: readonly unknown[] = [true, false, null, undefined, "gaussian", "eva", "orthogonal"];

/** Longest pattern, and quantifiers in it: patterns come from a file and are run as regular expressions. */
const PATTERN_LENGTH = 300;
const PATTERN_QUANTIFIERS = 4;

/** Reads what PEFT saves for LoRA, rsLoRA and DoRA. Throws `weights/adapter` for everything else, by name. */
export function parseAdapterConfig(json: JsonObject, name: string): AdapterConfig {
  const wrong = (what: string): PaliGemmaError => new PaliGemmaError("weights/adapter", `${name}: ${what}`);
  const positive = (key: string, missing: number): number => {
    const value = json[key] ?? missing;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    throw wrong(`${key} is ${JSON.stringify(value)?.slice(0, 60)}; allowed: a number above 0`);
  };
  if (json["peft_type"] !== "LORA")
    throw wrong(`peft_type is ${JSON.stringify(json["peft_type"])?.slice(0, 60)}; "LORA" is read`);
  for (const key of REFUSED) {
    const value = json[key];
    const empty =
      value === undefined ||
      value === null ||
      value === false ||
      (isObject(value) && Object.keys(value).length === 0) ||
      (Array.isArray(value) && value.length === 0);
    if (!empty)
      throw wrong(
        `${key} is set, which is not read; merge the adapter with PEFT (merge_and_unload) and load the result`,
      );
  }
  const beginning = json["init_lora_weights"];
  if (!PLAIN_BEGINNINGS.includes(beginning)) {
    throw wrong(
      `init_lora_weights is ${JSON.stringify(beginning)?.slice(0, 60)}, which changes the base model; convert the adapter with PEFT (path_initial_model_for_weight_conversion), or merge it`,
    );
  }
  return {
    rank: positive("r", 8),
    alpha: positive("lora_alpha", 8),
    rsLora: json["use_rslora"] === true,
    dora: json["use_dora"] === true,
    alphaPattern: readPatterns(json["alpha_pattern"], wrong),
    ensureWeightTying: json["ensure_weight_tying"] === true,
    baseModel: typeof json["base_model_name_or_path"] === "string" ? json["base_model_name_or_path"] : undefined,
  };
}

/** The factor of a module's update. `module` is its path in the model, as PEFT's patterns see it. */
export function scaleOf(config: AdapterConfig, module: string, rank: number): number {
  let { alpha } = config;
  for (const [pattern, own] of config.alphaPattern) {
    if (new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(module)) {
      alpha = own;
      break;
    }
  }
  return config.rsLora ? alpha / Math.sqrt(rank) : alpha / rank;
}

function readPatterns(given: unknown, wrong: (what: string) => PaliGemmaError): ReadonlyMap<string, number> {
  if (given === undefined || given === null) return new Map();
  if (!isObject(given)) throw wrong("alpha_pattern is not an object");
  return new Map(
    Object.entries(given).map(([pattern, alpha]) => {
      if (typeof alpha !== "number" || !Number.isFinite(alpha))
        throw wrong(`alpha_pattern of ${pattern.slice(0, 60)} is no number`);
      checkPattern(pattern, wrong);
      return [pattern, alpha];
    }),
  );
}

/** Refuses patterns that could run for ever: quantified groups, many quantifiers, what JavaScript does not know. */
function checkPattern(pattern: string, wrong: (what: string) => PaliGemmaError): void {
  const quantifiers = pattern.match(/[*+{]/g)?.length ?? 0;
  const wild =
    pattern.length > PATTERN_LENGTH || quantifiers > PATTERN_QUANTIFIERS || /\)[*+?{]|\\[1-9k]/.test(pattern);
  try {
    if (!wild) return void new RegExp(pattern);
  } catch {
    // Told below.
  }
  throw wrong(`the pattern ${JSON.stringify(pattern.slice(0, 60))} is too wild; write names of modules`);
}
