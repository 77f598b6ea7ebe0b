export { drawDetections, type DrawDetectionsOptions } from "./draw-detections.ts";
