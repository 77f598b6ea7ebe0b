/** Disposes one after the other. */
export async function disposeAll(made: readonly (AsyncDisposable | Disposable)[]): Promise<void> {
  for (const one of made) {
    if (Symbol.asyncDispose in one) await one[Symbol.asyncDispose]();
    else one[Symbol.dispose]();
  }
}
