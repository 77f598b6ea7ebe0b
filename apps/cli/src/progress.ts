import type { OnProgress } from "@paligemma/core";
import { Presets, SingleBar } from "cli-progress";

/** Progress reports as a bar on the terminal. */
export interface ProgressBar extends Disposable {
  readonly onProgress: OnProgress;
}

/** A bar on `stream`, gone when it is disposed; nothing where `stream` is no terminal. */
export function progressBar(stream: NodeJS.WriteStream = process.stderr): ProgressBar {
  if (!stream.isTTY) return { onProgress: () => {}, [Symbol.dispose]: () => {} };
  const format = "{bar} {percentage} % {task}";
  const bar = new SingleBar(
    { stream, format, hideCursor: true, clearOnComplete: true, barsize: 24 },
    Presets.shades_classic,
  );
  let current: string | undefined;
  return {
    onProgress: ({ task, done, total }) => {
      const whole = total ?? Math.max(done, 1);
      if (task === current) bar.update(done, { task });
      else bar.start(whole, done, { task });
      bar.setTotal(whole);
      current = task;
    },
    [Symbol.dispose]: () => bar.stop(),
  };
}
