import type { Backend } from "@paligemma/backend";

/** A backend that does some things in another way. */
export function backendWith(backend: Backend, others: Partial<Backend>): Backend {
  return {
    name: backend.name,
    target: backend.target,
    compile: (model, options) => backend.compile(model, options),
    allocate: (dtype, shape) => backend.allocate(dtype, shape),
    upload: (array) => backend.upload(array),
    download: (tensor) => backend.download(tensor),
    copy: (from, to) => backend.copy(from, to),
    ...(backend.requantize && { requantize: backend.requantize }),
    dispose: () => backend.dispose(),
    [Symbol.asyncDispose]: () => backend.dispose(),
    ...others,
  };
}

/** A backend that tells of each run before it begins and once it was handed to the runtime. */
export function tellingBackend(backend: Backend, tell: (graph: string) => void): Backend {
  return backendWith(backend, {
    async compile(model, options) {
      const session = await backend.compile(model, options);
      return {
        model,
        run(feeds, how) {
          const running = session.run(feeds, how);
          tell(model.name);
          return running;
        },
        dispose: () => session.dispose(),
        [Symbol.asyncDispose]: () => session.dispose(),
      };
    },
  });
}
