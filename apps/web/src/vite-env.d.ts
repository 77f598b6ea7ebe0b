declare module "virtual:tiny-shapes" {
  /** The embedded model's files: where they lie below the page, how large they are, and their SHA-256. */
  export const files: readonly {
    readonly path: string;
    readonly at: string;
    readonly size: number;
    readonly sha256: string;
  }[];
}
