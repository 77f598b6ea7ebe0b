/** Folder of the origin-private file system that holds all models. */
const FOLDER = "models";

/** Where downloaded models are kept; undefined where the browser has no place for them (a private window, a full disk). */
export async function keptModels(): Promise<FileSystemDirectoryHandle | undefined> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  return await root?.getDirectoryHandle(FOLDER, { create: true }).catch(() => undefined);
}

/** Forgets all kept models. */
export async function forgetModels(): Promise<void> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  await root?.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}
