/** How fast something goes, from reports of how far it is; the newest seconds count. */
export interface Pace {
  /** A report: how far, at what time in seconds. */
  at(done: number, seconds: number): void;
  /** Units per second; undefined while unknown. */
  rate(): number | undefined;
}

/** Seconds of reports that count. */
const WINDOW = 5;

/** A pace that knows nothing yet. */
export function createPace(): Pace {
  let reports: { readonly done: number; readonly seconds: number }[] = [];
  return {
    at(done, seconds) {
      reports = [
        ...reports.filter((report) => report.seconds >= seconds - WINDOW && report.done <= done),
        { done, seconds },
      ];
    },
    rate() {
      const [first, last] = [reports[0], reports.at(-1)];
      if (!first || !last || last.seconds - first.seconds < 0.2) return undefined;
      return (last.done - first.done) / (last.seconds - first.seconds);
    },
  };
}

/** "3.9 MB"; decimal units, as file sizes are given. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), units.length);
  const value = bytes / 1000 ** power;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[power - 1]}`;
}

/** "8 s", "2 min 5 s", "1 h 20 min" */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 ? ` ${whole % 60} s` : ""}`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
