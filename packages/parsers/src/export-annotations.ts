import { isValidBox, toPixels, type Box, type ImageSize } from "./boxes.ts";
import type { Detection } from "./detections.ts";
import { categoryOf, type AnnotatedImage, type OutlinedDetection } from "./export-coco.ts";

/**
 * One image's detections as a YOLO label file: `class centreX centreY width height`, fractions of the image, or with
 * `polygons` the class and the outline's corners. Class numbers are positions in `categories` from 0. Boxes are clipped
 * to the image; boxes that are inside out are left out. Throws `parsers/category`.
 */
export function toYolo(
  detections: readonly OutlinedDetection[],
  image: ImageSize,
  categories: readonly string[],
): string {
  return valid(detections)
    .flatMap(({ label, box, polygons }) => {
      const category = categoryOf(label, categories);
      if (polygons !== undefined) {
        return polygons.map((line) =>
          [category, ...line.map((v, i) => decimal(unit(v / (i % 2 === 0 ? image.width : image.height))))].join(" "),
        );
      }
      const { xMin, yMin, xMax, yMax } = {
        xMin: unit(box.xMin),
        yMin: unit(box.yMin),
        xMax: unit(box.xMax),
        yMax: unit(box.yMax),
      };
      return [[category, ...[(xMin + xMax) / 2, (yMin + yMax) / 2, xMax - xMin, yMax - yMin].map(decimal)].join(" ")];
    })
    .map((line) => `${line}\n`)
    .join("");
}

/**
 * One image's detections as Pascal VOC XML. Pixels are whole and counted from 1, the last one included, as in the VOC
 * development kit. Boxes that are inside out are left out.
 */
export function toVoc(image: AnnotatedImage): string {
  const objects = valid(image.detections).map(({ label, box }) => {
    const { xMin, yMin, xMax, yMax } = toPixels(box, image, "round");
    const corners = {
      xmin: Math.min(xMin + 1, image.width),
      ymin: Math.min(yMin + 1, image.height),
      xmax: Math.max(xMax, 1),
      ymax: Math.max(yMax, 1),
    };
    const lines = Object.entries(corners)
      .map(([name, value]) => `      <${name}>${value}</${name}>\n`)
      .join("");
    return `  <object>\n    <name>${xml(label)}</name>\n    <pose>Unspecified</pose>\n    <truncated>0</truncated>\n    <difficult>0</difficult>\n    <bndbox>\n${lines}    </bndbox>\n  </object>\n`;
  });
  const size = `  <size>\n    <width>${image.width}</width>\n    <height>${image.height}</height>\n    <depth>3</depth>\n  </size>\n`;
  return `<annotation>\n  <filename>${xml(image.fileName)}</filename>\n${size}  <segmented>0</segmented>\n${objects.join("")}</annotation>\n`;
}

/** LabelMe's file of one image. */
export interface LabelMeFile {
  readonly version: string;
  readonly flags: Readonly<Record<string, boolean>>;
  readonly shapes: readonly {
    readonly label: string;
    readonly points: readonly (readonly [number, number])[];
    readonly group_id: number | null;
    readonly shape_type: "rectangle" | "polygon";
    readonly flags: Readonly<Record<string, boolean>>;
  }[];
  readonly imagePath: string;
  readonly imageData: null;
  readonly imageHeight: number;
  readonly imageWidth: number;
}

/** One image's detections as LabelMe's file, points in pixels; the parts of one mask share a group. Boxes that are inside out are left out. */
export function toLabelMe(image: AnnotatedImage): LabelMeFile {
  const shapes = valid(image.detections).flatMap(({ label, box, polygons }, group): LabelMeFile["shapes"][number][] => {
    if (polygons !== undefined) {
      const group_id = polygons.length > 1 ? group : null;
      return polygons.map((line) => ({ label, points: pairs(line), group_id, shape_type: "polygon", flags: {} }));
    }
    const { xMin, yMin, xMax, yMax } = toPixels(box, image);
    return [
      {
        label,
        points: [
          [xMin, yMin],
          [xMax, yMax],
        ],
        group_id: null,
        shape_type: "rectangle",
        flags: {},
      },
    ];
  });
  return {
    version: "5.0.0",
    flags: {},
    shapes,
    imagePath: image.fileName,
    imageData: null,
    imageHeight: image.height,
    imageWidth: image.width,
  };
}

/** How a Label Studio project names things. */
export interface LabelStudioOptions {
  /** Name of the labels tag in the project's interface. Default `label`. */
  readonly fromName?: string;
  /** Name of the image tag. Default `image`. */
  readonly toName?: string;
  /** Stands in the prediction so that versions can be compared. Default `paligemma`. */
  readonly modelVersion?: string;
}

/** One region of a Label Studio prediction; numbers are percent of the image. */
export interface LabelStudioRegion {
  readonly id: string;
  readonly type: "rectanglelabels" | "polygonlabels";
  readonly from_name: string;
  readonly to_name: string;
  readonly original_width: number;
  readonly original_height: number;
  readonly image_rotation: 0;
  readonly score?: number;
  readonly value:
    | {
        readonly x: number;
        readonly y: number;
        readonly width: number;
        readonly height: number;
        readonly rotation: 0;
        readonly rectanglelabels: readonly string[];
      }
    | {
        readonly points: readonly (readonly [number, number])[];
        readonly closed: true;
        readonly polygonlabels: readonly string[];
      };
}

/** A Label Studio task with a prediction, ready to import. */
export interface LabelStudioTask {
  readonly data: { readonly image: string };
  readonly predictions: readonly {
    readonly model_version: string;
    readonly score?: number;
    readonly result: readonly LabelStudioRegion[];
  }[];
}

/** One image's detections as a Label Studio task whose prediction people can correct; `fileName` is the URL it loads. */
export function toLabelStudio(image: AnnotatedImage, options: LabelStudioOptions = {}): LabelStudioTask {
  const { fromName = "label", toName = "image", modelVersion = "paligemma" } = options;
  const region = {
    from_name: fromName,
    to_name: toName,
    original_width: image.width,
    original_height: image.height,
    image_rotation: 0,
  } as const;
  const kept = valid(image.detections);
  const result = kept.flatMap(({ label, box, polygons, score }, n): LabelStudioRegion[] => {
    const common = { ...region, ...(score !== undefined && { score }) };
    if (polygons !== undefined) {
      const percent = (line: readonly number[]): [number, number][] =>
        pairs(line).map(([x, y]) => [(x / image.width) * 100, (y / image.height) * 100]);
      return polygons.map((line, part) => ({
        id: `${n + 1}-${part + 1}`,
        type: "polygonlabels",
        ...common,
        value: { points: percent(line), closed: true, polygonlabels: [label] },
      }));
    }
    const value = { ...percentBox(box), rotation: 0, rectanglelabels: [label] } as const;
    return [{ id: String(n + 1), type: "rectanglelabels", ...common, value }];
  });
  const scores = kept.map((detection) => detection.score).filter((score) => score !== undefined);
  const score = scores.length > 0 ? { score: scores.reduce((a, b) => a + b, 0) / scores.length } : {};
  return { data: { image: image.fileName }, predictions: [{ model_version: modelVersion, ...score, result }] };
}

function valid<T extends Detection>(detections: readonly T[]): readonly T[] {
  return detections.filter((detection) => isValidBox(detection.box));
}

function percentBox(box: Box): { x: number; y: number; width: number; height: number } {
  return {
    x: box.xMin * 100,
    y: box.yMin * 100,
    width: (box.xMax - box.xMin) * 100,
    height: (box.yMax - box.yMin) * 100,
  };
}

function pairs(line: readonly number[]): [number, number][] {
  return Array.from({ length: line.length >> 1 }, (_, i) => [line[i * 2]!, line[i * 2 + 1]!]);
}

function unit(value: number): number {
  return Math.min(Math.max(value, 0), 1);
}

/** Six digits after the point: a thousandth of a pixel at 1,000 pixels. */
function decimal(value: number): string {
  return String(Number(value.toFixed(6)));
}

function xml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
