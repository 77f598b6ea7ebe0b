import {
  configToJson,
  formatConfig,
  gemmaToJson,
  parseConfig,
  parseGemmaConfig,
  parseSiglipConfig,
  presets,
  siglipToJson,
} from "@paligemma/config";
import { expect, it } from "vitest";

it.each(Object.entries(presets))("%s survives JSON", (_, config) => {
  expect(parseConfig(JSON.parse(JSON.stringify(configToJson(config))))).toEqual(config);
  expect(parseGemmaConfig(gemmaToJson(config.text))).toEqual(config.text);
  expect(parseSiglipConfig(siglipToJson(config.vision))).toEqual(config.vision);
});

it("writes floats as floats, whatever their value, and changes nothing else", () => {
  const json = configToJson(presets["paligemma2-3b-224"]);
  const text = formatConfig(json);
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(json)));
  expect(text).toMatch(/"final_logit_softcapping": 30\.0,/);
  expect(text).toMatch(/"attn_logit_softcapping": 50\.0,/);
  expect(text).toMatch(/"rms_norm_eps": 0\.000001,/);
  expect(text).toMatch(/"query_pre_attn_scalar": 256,/);
});

it("survives JSON without window, caps, tie and type, with several ends", () => {
  const preset = presets["paligemma2-3b-224"];
  const config = parseConfig({
    ...configToJson({ ...preset, eosTokenIds: [1, 107] }),
    tie_word_embeddings: false,
    torch_dtype: null,
    text_config: {
      ...gemmaToJson(preset.text),
      sliding_window: null,
      attn_logit_softcapping: null,
      final_logit_softcapping: null,
    },
  });
  expect(config).toMatchObject({
    dtype: null,
    eosTokenIds: [1, 107],
    text: { tieWordEmbeddings: false, slidingWindow: null, attnLogitSoftcapping: null },
  });
  expect(new Set(config.text.layerTypes)).toEqual(new Set(["full_attention"]));
  expect(parseConfig(JSON.parse(JSON.stringify(configToJson(config))))).toEqual(config);
});
