import { expect, test } from "vitest";
import { withWideSums } from "../src/gpu/wide-sums.ts";

/** What onnxruntime-web 1.30 writes about sums, for rows of four numbers and for single ones. */
const FOURS = [
  "  var acc: array<vec4<output_element_t>, rowPerThread>;",
  "        acc[i].x += dot(ACached, BCached0);",
  "        acc[i].w += dot(ACached, BCached3);",
  "    mm_write(batch, globalRow + innerRow, globalCol, acc[innerRow]);",
];
const SINGLES = [
  " var acc: array<array<output_element_t, colPerThread>, rowPerThread>;",
  "        acc[innerRow][innerCol] = acc[innerRow][innerCol] + ACached * BCached[innerCol];",
  "    mm_write(batch, globalRow + innerRow, globalCol + innerCol, acc[innerRow][innerCol]);",
];
const shader = (lines: readonly string[]): string => ["enable f16;", "fn main() {", ...lines, "}", ""].join("\n");

test.each([FOURS, SINGLES])("sums in half precision become float32, and nothing else changes", (...lines) => {
  const code = withWideSums(shader(lines));
  expect(code).toMatch(/var acc: array<.*f32.*, rowPerThread>;/);
  expect(code).not.toContain("dot(ACached, ");
  expect(code).not.toContain("+ ACached * ");
  expect(code).toMatch(/mm_write\(.*, output_value_t\(acc\[innerRow\](\[innerCol\])?\)\);/);
  expect(code.split("\n").filter((line) => !line.includes("acc["))).toHaveLength(5);
});

test("a shader in float32, without sums, or with sums that are not known stays as it is", () => {
  const foreign = [...FOURS, "  acc[innerRow] *= uniforms.alpha;"];
  for (const code of [FOURS.join("\n"), shader(["let accuracy = 1;"]), shader(foreign)])
    expect(withWideSums(code)).toBe(code);
});
