import type { OnProgress } from "@paligemma/core";
import { Presets, SingleBar } from "cli-progress";

/** Records done, how many a second, and the time that is left. */
export interface RecordBar extends Disposable {
  readonly onProgress: OnProgress;
}

/** A bar on `stream`; without a terminal, a line every ten seconds. `now` gives milliseconds. */
export function recordBar(stream: NodeJS.WriteStream = process.stderr, now: () => number = Date.now): RecordBar {
  const format = "{bar} {percentage} % {value}/{total} records, {rate}/s, {left} left";
  const bar = new SingleBar(
    { stream, format, hideCursor: true, clearOnComplete: true, barsize: 24, fps: 4 },
    Presets.shades_classic,
  );
  let begun: { readonly at: number; readonly done: number } | undefined;
  let said = 0;
  return {
    onProgress({ done, total = done }) {
      const at = now();
      // What an earlier run had done tells nothing about the rate.
      if (!begun) {
        begun = { at, done };
        said = at;
        if (stream.isTTY) bar.start(total, done, { rate: "–", left: "–" });
        return;
      }
      const { rate, left } = pace(done - begun.done, (at - begun.at) / 1000, total - done);
      if (stream.isTTY) bar.update(done, { rate, left });
      else if (at - said >= 10_000) {
        said = at;
        stream.write(`${done} of ${total} records, ${rate} a second, ${left} left\n`);
      }
    },
    [Symbol.dispose]: () => {
      if (stream.isTTY) bar.stop();
    },
  };
}

/** The rate and the time left, in words. */
export function pace(done: number, seconds: number, left: number): { readonly rate: string; readonly left: string } {
  if (done === 0 || seconds === 0) return { rate: "–", left: "–" };
  const rate = done / seconds;
  const rest = Math.round(left / rate);
  const [hours, minutes] = [Math.floor(rest / 3600), Math.floor((rest % 3600) / 60)];
  const text = hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${rest % 60} s` : `${rest} s`;
  return { rate: rate < 10 ? rate.toFixed(1) : String(Math.round(rate)), left: text };
}
