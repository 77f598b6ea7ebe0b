import type { Answered, Question } from "./model/protocol.ts";

/** An answer that is kept. */
export interface Remembered {
  readonly id: number;
  readonly question: Question;
  readonly answer: Answered;
  readonly model: string;
  readonly picture: Blob;
  readonly pictureName: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Answers that are kept at most; the oldest go first. */
export const MAX_REMEMBERED = 40;
const STORE = "answers";

/** Answers kept in this browser, newest first. Where the browser keeps nothing, they live as long as the page. */
export class HistoryStore {
  readonly #database: Promise<IDBDatabase | undefined> = open();
  #memory: Remembered[] = [];
  #fresh = -1;

  async all(): Promise<readonly Remembered[]> {
    const database = await this.#database;
    const kept = database
      ? ((await done(database.transaction(STORE).objectStore(STORE).getAll())) as Remembered[])
      : this.#memory;
    return kept.toSorted((a, b) => b.time - a.time);
  }

  async add(entry: Omit<Remembered, "id">): Promise<void> {
    const database = await this.#database;
    if (!database) {
      this.#memory = [{ ...entry, id: this.#fresh-- }, ...this.#memory].slice(0, MAX_REMEMBERED);
      return;
    }
    await done(database.transaction(STORE, "readwrite").objectStore(STORE).add(entry));
    const old = (await this.all()).slice(MAX_REMEMBERED);
    const store = database.transaction(STORE, "readwrite").objectStore(STORE);
    await Promise.all(old.map(({ id }) => done(store.delete(id))));
  }

  async clear(): Promise<void> {
    const database = await this.#database;
    this.#memory = [];
    if (database) await done(database.transaction(STORE, "readwrite").objectStore(STORE).clear());
  }
}

async function open(): Promise<IDBDatabase | undefined> {
  try {
    const request = indexedDB.open("paligemma", 1);
    request.addEventListener("upgradeneeded", () => {
      request.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
    });
    return await done(request);
  } catch {
    // A private window may keep nothing; answers then live as long as the page.
    return undefined;
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error ?? new Error("the browser's database failed")));
  });
}
