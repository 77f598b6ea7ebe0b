import type { Precision, Work } from "../gpu/work.ts";

/** One run of one engine, as it stands in the results. */
export interface Line {
  readonly name: string;
  readonly at: string;
  readonly [measured: string]: unknown;
}

/**
 * Tables of medians over the rounds, with the spread of what is compared, and ratios to the peers; and, of engines whose work is known,
 * what of the limits of the same round they reach.
 */
export function report(lines: readonly Line[], works: ReadonlyMap<string, Work> = new Map<string, Work>()): string {
  const names = [...new Set(lines.map(({ name }) => name))].filter((name) => name !== "limits");
  const numbers = (name: string, key: string): number[] =>
    lines.flatMap((line) => (line.name === name && typeof line[key] === "number" ? [line[key]] : []));
  const of = (name: string, key: string): number => median(numbers(name, key));
  const spread = (name: string, key: string, digits: number): string => {
    const all = numbers(name, key);
    return `${of(name, key).toFixed(digits)} (${Math.min(...all).toFixed(digits)} – ${Math.max(...all).toFixed(digits)})`;
  };
  const ratio = (peer: string, name: string, key: string): string =>
    names.includes(peer) ? (of(peer, key) / of(name, key)).toFixed(2) : "";

  /** With what is compiled for single steps. */
  const secondTokens = (name: string): number[] =>
    numbers(name, "firstStepMilliseconds").map((step, i) => numbers(name, "firstTokenSeconds")[i]! + step / 1000);

  const rows = names.map((name) => [
    name,
    dash(of(name, "visionSeconds"), 2),
    spread(name, "promptSeconds", 2),
    ratio("torch-float32", name, "promptSeconds"),
    ratio("torch-bfloat16", name, "promptSeconds"),
    ratio(`transformers.js-${name}`, name, "promptSeconds"),
    spread(name, "tokenMilliseconds", 0),
    ratio("torch-float32", name, "tokenMilliseconds"),
    ratio("torch-bfloat16", name, "tokenMilliseconds"),
    ratio(`transformers.js-${name}`, name, "tokenMilliseconds"),
    of(name, "loadSeconds").toFixed(1),
    dash(of(name, "firstTokenSeconds"), 1),
    dash(median(secondTokens(name)), 1),
    dash(of(name, "residentMegabytes") / 1000, 2),
    (of(name, "peakMemoryMegabytes") / 1000).toFixed(1),
    dash(of(name, "outsideRuntimeMilliseconds"), 2),
    dash(of(name, "collectedOutsideRuntimeMilliseconds"), 2),
  ]);
  const engines = table(
    [
      "engine",
      "picture alone, s",
      "prompt, s",
      "× torch float32",
      "× torch bfloat16",
      "× transformers.js",
      "token, ms",
      "× torch float32",
      "× torch bfloat16",
      "× transformers.js",
      "load, s",
      "first token from nothing, s",
      "second token",
      "resident, GB",
      "peak, GB",
      "outside the runtime, ms a token, read one by one",
      "read together",
    ],
    rows,
  );

  const limits = lines.filter(({ name }) => name === "limits");
  if (limits.length === 0) return engines;
  const limit = (precision: Precision, key: "gigabytesPerSecond" | "gigaoperationsPerSecond"): number[] =>
    limits.map((line) => (line[precision] as Readonly<Record<string, number>>)[key]!);
  const machine = table(
    ["precision", "one row reads its weights at, GB/s", "many rows, GFLOP/s or GOP/s"],
    (["float32", "int8", "int4"] as const).map((precision) => [
      precision,
      median(limit(precision, "gigabytesPerSecond")).toFixed(1),
      median(limit(precision, "gigaoperationsPerSecond")).toFixed(0),
    ]),
  );
  if (works.size === 0) return `${engines}\n\n${machine}`;

  /** Seconds that the products of a part take at their own rates, in each round. */
  const least = ({ precision, products, attention }: Work["picture"]): number[] => {
    const whole = limit("float32", "gigaoperationsPerSecond");
    return limit(precision, "gigaoperationsPerSecond").map(
      (rate, i) => (products / rate + attention / whole[i]!) / 1e9,
    );
  };
  const shares = (seconds: readonly number[], took: readonly number[]): string => {
    const all = seconds.slice(0, took.length).map((second, i) => (100 * second) / took[i]!);
    return `${median(all).toFixed(0)} (${Math.min(...all).toFixed(0)} – ${Math.max(...all).toFixed(0)})`;
  };
  const reached = names.flatMap((name) => {
    const work = works.get(name);
    if (!work) return [];
    const [pictures, prompts] = [numbers(name, "visionSeconds"), numbers(name, "promptSeconds")];
    const { bytes, precision } = work.token;
    const [ofPicture, ofPrompt] = [least(work.picture), least(work.prompt)];
    return [
      [
        name,
        shares(ofPicture, pictures),
        shares(
          ofPrompt.map((second, i) => second + ofPicture[i]!),
          prompts,
        ),
        (bytes / 1e9).toFixed(2),
        shares(
          limit(precision, "gigabytesPerSecond").map((rate) => bytes / rate / 1e9),
          numbers(name, "tokenMilliseconds").map((took) => took / 1000),
        ),
      ],
    ];
  });
  const parts = [
    "picture, % of its products",
    "prompt, % of its products",
    "a token reads, GB",
    "% of the memory's rate",
  ];
  return `${engines}\n\n${machine}\n\n${table(["engine", ...parts], reached)}`;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

function dash(x: number, digits: number): string {
  return Number.isNaN(x) ? "" : x.toFixed(digits);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
