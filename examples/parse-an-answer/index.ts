// From the text of an answer to boxes, and back to the same text. Whatever cannot be read comes back in `rest`.
import { formatDetections, parseDetections } from "@paligemma/parsers";

const answer = "<loc0100><loc0200><loc0300><loc0400> cat ; <loc0050><loc0000><loc1023><loc0512> dog";
const { items, rest } = parseDetections(answer, { width: 640, height: 480 });

for (const { label, pixels } of items) console.log(label, pixels);
console.log("not understood:", rest === "" ? "nothing" : rest);
console.log("written again, the same:", formatDetections(items) === answer);
