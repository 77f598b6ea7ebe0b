/**
 * A repeatable stream of numbers in [0, 1) with 53 random bits each: xoshiro128** (Blackman and Vigna, 2018), its state
 * filled by splitmix32 from `seed` (any safe integer) and `stream` (so that one seed gives many independent streams).
 * The numbers are part of the interface: a change of them is a major version.
 */
export function createRandom(seed: number, stream = 0): () => number {
  const state = new Uint32Array(4);
  let mix = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32) >>> 0, 0x85ebca6b) ^ Math.imul(stream, 0xc2b2ae35);
  for (let i = 0; i < 4; i++) {
    mix = (mix + 0x9e3779b9) | 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    state[i] = z ^ (z >>> 15);
  }
  if (state.every((word) => word === 0)) state[0] = 1;

  const next32 = (): number => {
    const s1 = state[1]!;
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    state[2]! ^= state[0]!;
    state[3]! ^= s1;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= s1 << 9;
    state[3] = rotate(state[3]!, 11);
    return result;
  };
  return () => (next32() >>> 5) * 2 ** -27 + (next32() >>> 6) * 2 ** -53;
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
