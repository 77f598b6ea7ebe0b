import { element } from "../ui/elements.ts";
import type { Found } from "../model/protocol.ts";
import { drawFound } from "./drawing.ts";
import type { Incoming } from "./intake.ts";

/** Pictures narrower than this are shown larger than they are. */
const SMALL = 720;

/** The picture that is being asked about, with the drawing over it. */
export class PictureView {
  readonly #image = element("picture", HTMLImageElement);
  readonly #overlay = element("overlay", HTMLCanvasElement);
  readonly #toggle = element("overlay-toggle", HTMLButtonElement);
  #picture: Incoming | undefined;
  #found: readonly Found[] = [];
  #lit: number | undefined;
  /** Pictures that were to be shown until now: decoding takes time, and the latest one wins. */
  #asked = 0;

  constructor() {
    this.#toggle.addEventListener("click", () => {
      const on = this.#toggle.getAttribute("aria-pressed") !== "true";
      this.#toggle.setAttribute("aria-pressed", String(on));
      this.#overlay.hidden = !on;
    });
    new ResizeObserver(() => this.#draw()).observe(this.#image);
  }

  get picture(): Incoming | undefined {
    return this.#picture;
  }

  /** Shows a picture; false where another one came meanwhile, and rejects where the browser cannot. */
  async show(picture: Incoming): Promise<boolean> {
    const turn = ++this.#asked;
    const address = URL.createObjectURL(picture.blob);
    // What is shown stays until the new one can be.
    const decoded = new Image();
    decoded.src = address;
    let readable = false;
    try {
      await decoded.decode();
      readable = true;
    } finally {
      if (!readable || turn !== this.#asked) URL.revokeObjectURL(address);
    }
    if (turn !== this.#asked) return false;
    const old = this.#image.src;
    this.#image.src = address;
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    this.#picture = picture;
    this.#image.alt = "Your picture";
    this.#image.classList.toggle("small", decoded.naturalWidth < SMALL);
    this.#image.style.setProperty("--ratio", String(decoded.naturalWidth / decoded.naturalHeight));
    element("picture-name", HTMLElement).textContent =
      `${picture.name} · ${decoded.naturalWidth} × ${decoded.naturalHeight}`;
    element("empty", HTMLElement).hidden = true;
    element("shown", HTMLElement).hidden = false;
    this.draw([]);
    return true;
  }

  /** Says in words what the picture shows. */
  describe(text: string): void {
    this.#image.alt = text;
  }

  /** Draws what was found over the picture. */
  draw(found: readonly Found[]): void {
    this.#found = found;
    this.#lit = undefined;
    this.#toggle.hidden = found.length === 0;
    this.#draw();
  }

  /** Brings one of the drawn objects forward, or none. */
  light(index: number | undefined): void {
    this.#lit = index;
    this.#draw();
  }

  #draw(): void {
    const { clientWidth, clientHeight, offsetLeft, offsetTop } = this.#image;
    const scale = devicePixelRatio;
    this.#overlay.width = Math.round(clientWidth * scale);
    this.#overlay.height = Math.round(clientHeight * scale);
    Object.assign(this.#overlay.style, {
      width: `${clientWidth}px`,
      height: `${clientHeight}px`,
      left: `${offsetLeft}px`,
      top: `${offsetTop}px`,
    });
    if (this.#found.length === 0 || clientWidth === 0) return;
    drawFound(
      this.#overlay.getContext("2d")!,
      this.#found,
      { width: this.#overlay.width, height: this.#overlay.height, scale },
      this.#lit,
    );
  }
}
