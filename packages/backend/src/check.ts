import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { formatShape, type GraphModel, type Port } from "@paligemma/graph";
import { isTensor, type Feeds, type RepeatOptions, type RunOptions, type Tensor } from "./backend.ts";

/** Sizes of named dimensions, and which input each was seen at first. */
type Sizes = Map<string, { readonly size: number; readonly by: string }>;

/**
 * Checks a run against the graph before the runtime sees it: every input fed, nothing fed that is no input, formats equal,
 * known dimensions equal, equal names equal sizes; outputs exist and are asked for once, and the tensors that they are to be
 * written into are of their format and, as far as it is known before the run, of their shape. Throws `backend/option`,
 * `backend/feeds` or `backend/outputs`, listing all that is wrong.
 */
export function checkRun(model: GraphModel, feeds: Feeds, options: RunOptions): void {
  const [unknown] = unknownKeys(options, ["host", "device", "into", "signal"]);
  if (unknown)
    throw new PaliGemmaError(
      "backend/option",
      `run has no option ${unknown.key}${unknown.meant ? `; is ${unknown.meant} meant?` : ""}`,
    );
  const faults: string[] = [];
  const sizes: Sizes = new Map();
  for (const port of model.inputs) faults.push(...inputFaults(port, feeds, sizes));
  const inputs = new Set(model.inputs.map((port) => port.name));
  for (const name of Object.keys(feeds)) if (!inputs.has(name)) faults.push(`${name} is no input`);
  if (faults.length > 0) {
    throw new PaliGemmaError(
      "backend/feeds",
      `the graph ${model.name} cannot be fed so: ${faults.join("; ")}. Inputs are ${model.inputs.map((p) => p.name).join(", ")}`,
    );
  }
  const asked = [...(options.host ?? []), ...(options.device ?? []), ...Object.keys(options.into ?? {})];
  const outputs = new Set(model.outputs.map((port) => port.name));
  const wrong = asked.filter((name, i) => !outputs.has(name) || asked.indexOf(name) !== i);
  if (wrong.length > 0 || asked.length === 0) {
    const what = asked.length === 0 ? "no output was asked for" : `${wrong.join(", ")} is unknown or asked for twice`;
    throw new PaliGemmaError("backend/outputs", `graph ${model.name}: ${what}. Outputs are ${[...outputs].join(", ")}`);
  }
  const misfits = model.outputs.flatMap((port) => targetFaults(port, options.into?.[port.name], sizes));
  if (misfits.length > 0) throw new PaliGemmaError("backend/outputs", `graph ${model.name}: ${misfits.join("; ")}`);
}

/**
 * Checks a repeated run as `checkRun` does its first run, and that `moves` and `until` name what they may; so what follows each run.
 * Throws `backend/option` for what cannot be meant.
 */
export function checkRepeat(model: GraphModel, feeds: Feeds, options: RepeatOptions): void {
  const { times, together = 1, into = {}, moves = {}, followedBy } = options;
  const { host, until } = followedBy ? { host: [], until: undefined } : options;
  const unknown = [
    ...unknownKeys(options, ["times", "host", "into", "moves", "until", "together", "followedBy", "signal"]),
    ...unknownKeys(followedBy ?? {}, ["session", "feeds", "into", "moves"]),
  ];
  const faults = unknown.map(({ key, meant }) => `there is no ${key}${meant ? `; is ${meant} meant?` : ""}`);
  for (const [name, count] of Object.entries({ times, together }))
    if (!Number.isSafeInteger(count) || count < 1)
      faults.push(`${name} is ${count}, it must be a whole number from 1 on`);
  const tensors = { ...feeds, ...into };
  for (const [name, rows] of Object.entries(moves)) {
    if (!tensors[name] || !isTensor(tensors[name])) faults.push(`${name} is no tensor, and cannot move`);
    if (!Number.isSafeInteger(rows) || rows < 0)
      faults.push(`${name} moves by ${rows} rows, which must be a whole number`);
  }
  if (until && !host.includes(until.output))
    faults.push(`until names ${until.output}, which does not come to the host`);
  if (faults.length > 0)
    throw new PaliGemmaError("backend/option", `the graph ${model.name} cannot be repeated so: ${faults.join("; ")}`);
  checkRun(model, feeds, { host: host.filter((name) => !(name in into)), into });
  if (!followedBy) return;
  const { session, feeds: fed, into: written = {}, moves: moving = {} } = followedBy;
  checkRepeat(session.model, fed, { ...options, into: written, moves: moving, followedBy: undefined });
}

function inputFaults(port: Port, feeds: Feeds, sizes: Sizes): string[] {
  const fed = feeds[port.name];
  if (!fed) return [`${port.name} is missing`];
  if (fed.dtype !== port.dtype) return [`${port.name} is ${fed.dtype}, the graph takes ${port.dtype}`];
  const faults: string[] = [];
  if (fed.shape.length !== port.shape.length) {
    return [`${port.name} is ${formatShape(fed.shape)}, the graph takes ${formatShape(port.shape)}`];
  }
  port.shape.forEach((dimension, axis) => {
    const size = fed.shape[axis]!;
    if (typeof dimension === "number") {
      if (size !== dimension)
        faults.push(`${port.name} is ${formatShape(fed.shape)}, the graph takes ${formatShape(port.shape)}`);
      return;
    }
    const seen = sizes.get(dimension);
    if (!seen) sizes.set(dimension, { size, by: port.name });
    else if (seen.size !== size) faults.push(`${dimension} is ${seen.size} in ${seen.by} and ${size} in ${port.name}`);
  });
  return faults;
}

function targetFaults(port: Port, target: Tensor | undefined, sizes: Sizes): string[] {
  if (!target) return [];
  const expected = port.shape.map((dimension) =>
    typeof dimension === "string" ? (sizes.get(dimension)?.size ?? dimension) : dimension,
  );
  const fits =
    target.shape.length === expected.length &&
    expected.every((size, axis) => typeof size === "string" || size === target.shape[axis]);
  if (fits && target.dtype === port.dtype) return [];
  return [
    `${port.name} is ${port.dtype} ${formatShape(expected)} and cannot be written into ${target.dtype} ${formatShape(target.shape)}`,
  ];
}
