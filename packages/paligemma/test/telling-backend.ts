import type { Backend } from "@paligemma/backend";

/** A backend that tells of each run before it begins and once it was handed to the runtime. */
export function tellingBackend(backend: Backend, tell: (graph: string) => void): Backend {
  return {
    name: backend.name,
    target: backend.target,
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
    allocate: (dtype, shape) => backend.allocate(dtype, shape),
    upload: (array) => backend.upload(array),
    download: (tensor) => backend.download(tensor),
    copy: (from, to) => backend.copy(from, to),
    ...(backend.requantize && { requantize: backend.requantize }),
    dispose: () => backend.dispose(),
    [Symbol.asyncDispose]: () => backend.dispose(),
  };
}
