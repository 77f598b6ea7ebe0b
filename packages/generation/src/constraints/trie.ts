/**
 * Byte strings by their bytes: node 0 is the root; a node's children are `first[node]`, `sibling[that]`, … (0 ends the
 * list), each reached by `byte[child]`; its strings are `holds[node]`, `another[that]`, … (−1 ends the list).
 */
export interface Trie {
  readonly first: Int32Array;
  readonly sibling: Int32Array;
  readonly byte: Uint8Array;
  readonly holds: Int32Array;
  readonly another: Int32Array;
}

/** The trie of `strings`; empty ones are left out. */
export function createTrie(strings: readonly Uint8Array[]): Trie {
  const most = 1 + strings.reduce((sum, string) => sum + string.length, 0);
  const first = new Int32Array(most);
  const sibling = new Int32Array(most);
  const byte = new Uint8Array(most);
  const holds = new Int32Array(most).fill(-1);
  const another = new Int32Array(strings.length).fill(-1);
  let count = 1;

  strings.forEach((string, id) => {
    if (string.length === 0) return;
    let node = 0;
    for (const value of string) {
      let child = first[node]!;
      while (child !== 0 && byte[child] !== value) child = sibling[child]!;
      if (child === 0) {
        child = count++;
        byte[child] = value;
        sibling[child] = first[node]!;
        first[node] = child;
      }
      node = child;
    }
    another[id] = holds[node]!;
    holds[node] = id;
  });
  return {
    first: first.slice(0, count),
    sibling: sibling.slice(0, count),
    byte: byte.slice(0, count),
    holds: holds.slice(0, count),
    another,
  };
}
