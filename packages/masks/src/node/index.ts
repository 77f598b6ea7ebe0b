export { cutOutPng, maskFromImage, maskToPng } from "./pictures.ts";
export { loadMaskCodecFile } from "./load-codec-file.ts";
