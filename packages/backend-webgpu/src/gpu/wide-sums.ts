/**
 * What the runtime's shader of `Gemm` says about its sums, and what it shall say instead. In half precision it adds up in
 * half precision, where 8192 + 4 is 8192. What it multiplies, and the result, stay as they are.
 */
const REWRITES: readonly (readonly [RegExp, string])[] = [
  [/^var acc: array<vec4<output_element_t>, rowPerThread>;$/, "var acc: array<vec4<f32>, rowPerThread>;"],
  [
    /^var acc: array<array<output_element_t, colPerThread>, rowPerThread>;$/,
    "var acc: array<array<f32, colPerThread>, rowPerThread>;",
  ],
  [/^(acc\[i\]\.[xyzw] \+= )dot\(ACached, (BCached[0-3])\);$/, "$1dot(vec4<f32>(ACached), vec4<f32>($2));"],
  [
    /^(acc\[innerRow\]\[innerCol\] = acc\[innerRow\]\[innerCol\] \+ )ACached \* BCached\[innerCol\];$/,
    "$1f32(ACached) * f32(BCached[innerCol]);",
  ],
  [/^(mm_write\(.*, )(acc\[innerRow\](?:\[\w+\])?)\);$/, "$1output_value_t($2));"],
];

/** Lets the runtime's products in half precision add up in float32, by standing before the device's `createShaderModule`. */
export function widenSums(device: GPUDevice): void {
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (descriptor) => create({ ...descriptor, code: withWideSums(descriptor.code) });
}

/** A shader with its sums in float32; as it is where it has none, or says something about them that is not known here. */
export function withWideSums(code: string): string {
  if (!/^enable f16;/m.test(code)) return code;
  const lines = code.split("\n").map((line) => {
    const statement = line.trim();
    if (!/\bacc\b/.test(statement)) return line;
    const [known, instead] = REWRITES.find(([pattern]) => pattern.test(statement)) ?? [];
    return known && statement.replace(known, instead!);
  });
  return lines.includes(undefined) ? code : lines.join("\n");
}
