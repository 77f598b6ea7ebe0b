import type { DrawnBox, DrawnObject, LayoutOptions } from "@paligemma/drawing";

/** A difficult picture: what is drawn over how large a ground. */
export interface Picture {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly objects: readonly DrawnObject[];
  readonly options?: LayoutOptions;
}

const box = (yMin: number, xMin: number, yMax: number, xMax: number): DrawnBox => ({ yMin, xMin, yMax, xMax });

function crowd(count: number, largest: number, labels: readonly string[], seed: number): DrawnObject[] {
  let state = seed;
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  return Array.from({ length: count }, (_, i) => {
    const [yMin, xMin] = [random() * 0.95, random() * 0.95];
    const [yMax, xMax] = [Math.min(1, yMin + 0.02 + random() * largest), Math.min(1, xMin + 0.02 + random() * largest)];
    return { label: labels[i % labels.length] ?? "", box: box(yMin, xMin, yMax, xMax) };
  });
}

/** A soft 64 × 64 mask: a star with a hole. */
function star(points: number, hole: number): { data: Float32Array; width: 64; height: 64; threshold: 0 } {
  const data = Float32Array.from({ length: 4096 }, (_, i) => {
    const [x, y] = [(i % 64) - 31.5, (i >> 6) - 31.5];
    const radius = Math.hypot(x, y);
    return Math.min(1 - radius / (24 + 7 * Math.sin(points * Math.atan2(y, x))), radius / hole - 1);
  });
  return { data, width: 64, height: 64, threshold: 0 };
}

const EDGES: readonly (readonly [string, DrawnBox])[] = [
  ["top left", box(0, 0, 0.25, 0.2)],
  ["top", box(0, 0.4, 0.2, 0.6)],
  ["top right", box(0, 0.8, 0.25, 1)],
  ["left", box(0.4, 0, 0.6, 0.15)],
  ["right", box(0.4, 0.85, 0.6, 1)],
  ["bottom left", box(0.75, 0, 1, 0.2)],
  ["bottom", box(0.8, 0.4, 1, 0.6)],
  ["bottom right", box(0.75, 0.8, 1, 1)],
  ["all of it", box(0, 0, 1, 1)],
];

const SCRIPTS = [
  "the quick brown fox jumps over the lazy dog, again and again",
  "Ταχίστη αλώπηξ βαφής ψημένη γη, δρασκελίζει υπέρ νωθρού κυνός",
  "Съешь ещё этих мягких французских булок, да выпей чаю",
  "いろはにほへと散りぬるを",
  "نص حكيم له سر قاطع وذو شأن عظيم",
];

/** The twelve pictures whose drawings are kept as references. */
export const PICTURES: readonly Picture[] = [
  {
    name: "forty-objects",
    width: 640,
    height: 480,
    objects: crowd(40, 0.3, ["person", "dog", "traffic light", "car", "bicycle", "handbag"], 7),
  },
  { name: "tiny-boxes", width: 320, height: 240, objects: crowd(14, 0.005, ["ant", "seed", "screw"], 11) },
  { name: "every-edge", width: 400, height: 300, objects: EDGES.map(([label, b]) => ({ label, box: b })) },
  {
    name: "five-scripts",
    width: 560,
    height: 360,
    objects: SCRIPTS.map((label, i) => ({
      label,
      box: box(0.1 + 0.17 * i, 0.05 + 0.12 * i, 0.22 + 0.17 * i, 0.3 + 0.12 * i),
    })),
  },
  {
    name: "hundred-pixels",
    width: 100,
    height: 100,
    objects: [
      { label: "cat", score: 0.93, box: box(0.2, 0.1, 0.9, 0.6) },
      { label: "dog", score: 0.5, box: box(0.3, 0.5, 0.8, 0.95) },
    ],
  },
  { name: "eight-thousand-pixels", width: 8000, height: 6000, objects: crowd(9, 0.35, ["whale", "boat", "island"], 5) },
  { name: "panorama", width: 1600, height: 120, objects: crowd(12, 0.3, ["tree", "house", "a rather long label"], 3) },
  { name: "tower", width: 110, height: 700, objects: crowd(12, 0.3, ["window", "clock"], 13) },
  {
    name: "nested",
    width: 400,
    height: 400,
    objects: Array.from({ length: 10 }, (_, i) => ({
      label: `ring ${i + 1}`,
      box: box(0.045 * i, 0.045 * i, 1 - 0.045 * i, 1 - 0.045 * i),
    })),
  },
  {
    name: "masks",
    width: 480,
    height: 320,
    objects: [
      { label: "star", box: box(0.05, 0.05, 0.75, 0.5), mask: { ...star(5, 8), area: box(0.05, 0.05, 0.75, 0.5) } },
      { label: "gear", box: box(0.3, 0.35, 1, 0.8), mask: { ...star(9, 6), area: box(0.3, 0.35, 1, 0.8) } },
      {
        label: "binary",
        mask: { data: Uint8Array.of(1, 0, 1, 0, 0, 1, 1, 1, 1), width: 3, height: 3, area: box(0.05, 0.78, 0.3, 0.98) },
        box: box(0.05, 0.78, 0.3, 0.98),
      },
      {
        label: "cut off",
        mask: { data: new Uint8Array(16).fill(1), width: 4, height: 4, area: box(0.6, 0.85, 1, 1) },
        box: box(0.6, 0.85, 1, 1),
      },
    ],
  },
  {
    name: "same-box",
    width: 360,
    height: 240,
    objects: ["apple", "fruit", "food", "red", "round", "ripe", "object", "thing"].map((label) => ({
      label,
      box: box(0.3, 0.3, 0.7, 0.6),
    })),
  },
  {
    name: "sixteen-classes",
    width: 480,
    height: 360,
    objects: Array.from({ length: 16 }, (_, i) => ({
      label: `class ${i + 1}`,
      score: i / 15,
      box: box(0.06 + 0.24 * (i >> 2), 0.02 + 0.25 * (i % 4), 0.24 + 0.24 * (i >> 2), 0.22 + 0.25 * (i % 4)),
    })),
  },
];
