import { readFileSync } from "node:fs";
import { chromium, type Browser } from "playwright-core";
import { FLAGS } from "../../browser/chromium.mjs";
import type { Answered, Asked, Told } from "./request.ts";
import type { Counting } from "./serve.ts";

/** Who is compared. */
export const PARTIES = ["ours", "theirs"] as const;
export type Party = (typeof PARTIES)[number];

/** A request, and the seconds of processor that the page's and the GPU's processes spent on it. */
export interface Timed extends Answered {
  readonly processor: number;
}

/** What one run took. */
export interface Visit extends Told {
  /** Seconds until the model could be asked, the runtime's start included; by the clock and of processors. */
  readonly load: number;
  readonly loadProcessor: number;
  /** The first request compiles the shaders. */
  readonly first: Timed;
  /** Later requests, each for one token and for all. */
  readonly later: readonly { readonly one: Timed; readonly all: Timed }[];
  /** Bytes over the network: the page and its scripts, the runtime, the model. */
  readonly downloaded: number;
  readonly modelBytes: number;
  /** Largest size of the JavaScript heap that was seen, with array buffers and WebAssembly memories. */
  readonly heapBytes: number;
  /** Most memory that the page's process and the GPU's process had. */
  readonly rendererBytes: number;
  readonly gpuBytes: number;
}

/** How much is asked. */
export interface Amount {
  readonly tokens: number;
  readonly again: number;
}

/** Before the page's scripts: keeps every WebAssembly memory, and counts what is mapped for reading. */
function watch(): void {
  window.seen = { memories: [], mapped: 0 };
  const { Memory } = WebAssembly;
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, args, newTarget) {
      const memory = Reflect.construct(target, args, newTarget) as WebAssembly.Memory;
      window.seen.memories.push(memory);
      return memory;
    },
  });
  const { prototype } = GPUBuffer;
  // oxlint-disable-next-line unbound-method -- called with its buffer below
  const { mapAsync } = prototype;
  prototype.mapAsync = function (this: GPUBuffer, mode, offset = 0, size = this.size - offset) {
    if (mode === 1) window.seen.mapped += size;
    return mapAsync.call(this, mode, offset, size);
  };
}

/** Opens the party's page in a browser of its own, asks, and says what it took. */
export async function visit(
  party: Party,
  server: Counting,
  executablePath: string,
  { tokens, again, ...asked }: Asked & Amount,
): Promise<Visit> {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.addInitScript(watch);
    server.taken();
    await page.goto(`${server.address}site/${party}.html`);
    await page.waitForFunction(() => "load" in window);
    const session = await page.context().newCDPSession(page);
    let heapBytes = 0;
    const sample = async (): Promise<void> => {
      const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
      heapBytes = Math.max(heapBytes, usedSize + backingStorageSize);
    };
    const spent = await processorOf(browser);
    const begun = performance.now();
    const timer = setInterval(() => void sample().catch(() => undefined), 100);
    await page.evaluate((what) => window.load(what), asked);
    clearInterval(timer);
    const load = (performance.now() - begun) / 1000;
    const loadProcessor = spent();
    const once = async (count: number): Promise<Timed> => {
      const before = spent();
      const answered = await page.evaluate((most) => window.once(most), count);
      return { ...answered, processor: spent() - before };
    };
    const first = await once(tokens);
    const later: { one: Timed; all: Timed }[] = [];
    for (let i = 0; i < again; i++) later.push({ one: await once(1), all: await once(tokens) });
    await sample();
    const told = await page.evaluate(() => window.tell());
    if (errors.length > 0) throw new Error(errors.join("; "));
    const taken = server.taken();
    const downloaded = Object.values(taken).reduce((sum, bytes) => sum + bytes, 0);
    const counted = { load, loadProcessor, first, later, downloaded, modelBytes: taken[party] ?? 0, heapBytes };
    return { ...told, ...counted, ...(await peaks(browser)) };
  } finally {
    await browser.close();
  }
}

async function processes(browser: Browser): Promise<readonly { readonly type: string; readonly id: number }[]> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  return processInfo.filter(({ type }) => type === "renderer" || type === "GPU");
}

/** Ticks of a processor's clock in a second, as Linux counts them for programs. */
const TICKS = 100;

/** Gives the seconds of processor that the pages' and the GPU's processes have spent so far. */
async function processorOf(browser: Browser): Promise<() => number> {
  const ids = (await processes(browser)).map(({ id }) => id);
  const start = (): number =>
    ids.reduce((sum, id) => {
      // Fields 14 and 15 of proc(5), after the name in parentheses.
      const [user, system] = readFileSync(`/proc/${id}/stat`, "utf8").split(") ")[1]!.split(" ").slice(11, 13);
      return sum + (Number(user) + Number(system)) / TICKS;
    }, 0);
  const before = start();
  return () => start() - before;
}

/** Peaks of the processes' memory, as Linux tells them. */
async function peaks(browser: Browser): Promise<Pick<Visit, "rendererBytes" | "gpuBytes">> {
  const all = await processes(browser);
  const most = (wanted: string): number =>
    Math.max(0, ...all.filter(({ type }) => type === wanted).map(({ id }) => peakOf(id)));
  return { rendererBytes: most("renderer"), gpuBytes: most("GPU") };
}

function peakOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}
