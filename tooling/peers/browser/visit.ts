import { readFileSync } from "node:fs";
import { chromium, type Browser } from "playwright-core";
import { FLAGS } from "../../browser/chromium.mjs";
import type { Asked, Told } from "./request.ts";
import type { Counting } from "./serve.ts";

/** Who is compared. */
export const PARTIES = ["ours", "theirs"] as const;
export type Party = (typeof PARTIES)[number];

/** What one run took. */
export interface Visit extends Told {
  /** Bytes over the network: the page and its scripts, the runtime, the model. */
  readonly downloaded: number;
  readonly modelBytes: number;
  /** Largest size of the JavaScript heap that was seen, with array buffers and WebAssembly memories. */
  readonly heapBytes: number;
  /** Most memory that the page's process and the GPU's process had. */
  readonly rendererBytes: number;
  readonly gpuBytes: number;
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
export async function visit(party: Party, server: Counting, executablePath: string, asked: Asked): Promise<Visit> {
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, "--enable-precise-memory-info"] });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.addInitScript(watch);
    server.taken();
    await page.goto(`${server.address}site/${party}.html`);
    await page.waitForFunction(() => "ask" in window);
    const session = await page.context().newCDPSession(page);
    let heapBytes = 0;
    const sample = async (): Promise<void> => {
      const { usedSize, backingStorageSize } = await session.send("Runtime.getHeapUsage");
      heapBytes = Math.max(heapBytes, usedSize + backingStorageSize);
    };
    const timer = setInterval(() => void sample().catch(() => undefined), 100);
    const told = await page.evaluate((what) => window.ask(what), asked);
    clearInterval(timer);
    if (errors.length > 0) throw new Error(errors.join("; "));
    await sample();
    const taken = server.taken();
    return {
      ...told,
      downloaded: Object.values(taken).reduce((sum, bytes) => sum + bytes, 0),
      modelBytes: taken[party] ?? 0,
      heapBytes,
      ...(await peaks(browser)),
    };
  } finally {
    await browser.close();
  }
}

/** Peaks of the processes' memory, as Linux tells them. */
async function peaks(browser: Browser): Promise<Pick<Visit, "rendererBytes" | "gpuBytes">> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const most = (type: string): number =>
    Math.max(0, ...processInfo.filter((process) => process.type === type).map(({ id }) => peakOf(id)));
  return { rendererBytes: most("renderer"), gpuBytes: most("GPU") };
}

function peakOf(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}
