import { PARTIES, type Party, type Timed, type Visit } from "./visit.ts";

const median = (numbers: readonly number[]): number => {
  const sorted = numbers.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
};

/** Of a token: what a request for all tokens takes more than one for the first alone. */
const perToken = ({ one, all }: Visit["later"][number]): number =>
  (all.processor - one.processor) / Math.max(1, all.ids.length - 1);
const answersOf = (v: Visit): Timed[] => [v.first, ...v.later.flatMap(({ one, all }) => [one, all])];

/** What is compared: name, unit, digits, and the number of one run. */
const ROWS: readonly (readonly [string, number, (visit: Visit) => number])[] = [
  ["time to load, s", 2, (v) => v.load],
  ["first prompt (shaders are compiled), s", 2, (v) => v.first.prefill / 1000],
  ["later prompts, picture included, ms", 0, (v) => median(v.later.flatMap((l) => [l.one.prefill, l.all.prefill]))],
  ["each further token, ms", 1, (v) => median(v.later.flatMap(({ all }) => all.steps))],
  ["processor time to load, s", 2, (v) => v.loadProcessor],
  ["processor time of a later prompt, ms", 0, (v) => median(v.later.map(({ one }) => one.processor)) * 1000],
  ["processor time of a further token, ms", 1, (v) => median(v.later.map(perToken)) * 1000],
  ["read back from the GPU per token, bytes", 0, (v) => v.readBytes / answersOf(v).flatMap(({ ids }) => ids).length],
  ["downloaded, MB", 2, (v) => v.downloaded / 1e6],
  ["of which model, MB", 2, (v) => v.modelBytes / 1e6],
  ["WebAssembly memory, MB", 1, (v) => v.wasmBytes / 1e6],
  ["heap at most (JavaScript, array buffers, WebAssembly), MB", 1, (v) => v.heapBytes / 1e6],
  ["page's process at most, MB", 0, (v) => v.rendererBytes / 1e6],
  ["GPU process at most, MB", 0, (v) => v.gpuBytes / 1e6],
];

/** Medians (least – most) of both, and how many times theirs is ours, as Markdown. */
export function table(visits: Readonly<Record<Party, readonly Visit[]>>): string {
  const lines = ["| median (least – most) | paligemma.ts | transformers.js | × |", "|---|---|---|---|"];
  for (const [name, digits, of] of ROWS) {
    const [ours, theirs] = PARTIES.map((party) => visits[party].map(of)) as [number[], number[]];
    const cell = (numbers: number[]): string =>
      `${median(numbers).toFixed(digits)} (${Math.min(...numbers).toFixed(digits)} – ${Math.max(...numbers).toFixed(digits)})`;
    lines.push(`| ${name} | ${cell(ours)} | ${cell(theirs)} | ${(median(theirs) / median(ours)).toFixed(2)} |`);
  }
  const answers = PARTIES.map(
    (party) =>
      new Set(
        visits[party].flatMap((v) => [v.first, ...v.later.map(({ all }) => all)]).map(({ ids }) => ids.join(" ")),
      ),
  );
  const same = answers[0]!.size === 1 && [...answers[0]!].join() === [...answers[1]!].join();
  lines.push(
    "",
    same
      ? `All answers have the same tokens: ${[...answers[0]!].join()}.`
      : `ANSWERS DIFFER: ${answers.map((a) => [...a].join(" | ")).join(" AGAINST ")}`,
  );
  return lines.join("\n");
}
