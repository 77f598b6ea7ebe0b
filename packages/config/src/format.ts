// Numbers that transformers declares as `float` and, since 5.0, refuses as whole numbers; JSON.stringify writes 30 for 30.0.
const FLOATS =
  /("(?:final_logit_softcapping|attn_logit_softcapping|rms_norm_eps|layer_norm_eps|initializer_range|rope_theta)": -?\d+)(?=[,\s}])/g;

/** The text of a `config.json`: two spaces, a line break at the end, and floats as Hugging Face's strict reader wants them (30.0). */
export function formatConfig(json: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify(json, null, 2).replace(FLOATS, "$1.0")}\n`;
}
