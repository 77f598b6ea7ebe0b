type Json = Readonly<Record<string, unknown>>;

/** One wrong field: `vision_config.patch_size is -1; allowed: an integer from 1 to 16384`. */
export type Problems = string[];

/** Reads the fields of one JSON object; what is wrong is added to the problems and the default stands in. */
export class Fields {
  readonly #json: Json;
  readonly #at: string;
  readonly #problems: Problems;

  constructor(json: Json, at: string, problems: Problems) {
    this.#json = json;
    this.#at = at;
    this.#problems = problems;
  }

  /** Adds a problem about a field of this object. */
  wrong(key: string, value: unknown, allowed: string): void {
    this.#problems.push(`${this.#at}${key} is ${show(value)}; allowed: ${allowed}`);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#json, key);
  }

  /** True while nothing is wrong: rules that relate fields are worth checking only then. */
  get clean(): boolean {
    return this.#problems.length === 0;
  }

  /** The value under the first key present; `undefined` where there is none. Spellings that disagree are a problem. */
  raw(...keys: readonly string[]): unknown {
    const given = keys.filter((key) => this.has(key) && this.#json[key] !== null);
    const [first, ...others] = given;
    if (first === undefined) return undefined;
    for (const other of others) {
      if (!same(this.#json[first], this.#json[other])) {
        this.wrong(other, this.#json[other], `what ${first}, its other spelling, says: ${show(this.#json[first])}`);
      }
    }
    return this.#json[first];
  }

  /** True where the key is there and says `null`, which some fields understand as "none". */
  isNull(key: string): boolean {
    return this.has(key) && this.#json[key] === null;
  }

  integer(keys: string | readonly string[], missing: number, max: number, min = 1): number {
    const names = [keys].flat();
    const value = this.raw(...names);
    if (value === undefined) return missing;
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
    this.wrong(this.#named(names), value, `an integer from ${min} to ${max}`);
    return missing;
  }

  /** A finite number above zero. */
  positive(keys: string | readonly string[], missing: number): number {
    const names = [keys].flat();
    const value = this.raw(...names);
    if (value === undefined) return missing;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    this.wrong(this.#named(names), value, "a finite number above 0");
    return missing;
  }

  flag(key: string, missing: boolean): boolean {
    const value = this.raw(key);
    if (value === undefined) return missing;
    if (typeof value === "boolean") return value;
    this.wrong(key, value, "true or false");
    return missing;
  }

  choice<const T extends string>(keys: string | readonly string[], missing: T, allowed: readonly T[]): T {
    const names = [keys].flat();
    const value = this.raw(...names);
    if (value === undefined) return missing;
    const known = allowed.find((word) => word === value);
    if (known !== undefined) return known;
    this.wrong(this.#named(names), value, allowed.map((word) => `"${word}"`).join(" or "));
    return missing;
  }

  /** The fields of an object inside this one; `undefined` where it is absent or null. */
  inside(key: string): Fields | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (isObject(value)) return new Fields(value, `${this.#at}${key}.`, this.#problems);
    this.wrong(key, value, "an object");
    return undefined;
  }

  #named(keys: readonly string[]): string {
    return keys.find((key) => this.has(key) && this.#json[key] !== null) ?? keys[0]!;
  }
}

/** True for a JSON object, false for arrays, null and everything else. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** A value as JSON, cut where it is long: a message must stay readable whatever the file holds. */
function show(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
