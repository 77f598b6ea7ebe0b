import type { Constraint } from "../constraint.ts";
import { PaliGemmaError } from "../errors.ts";
import { charactersOf, complement } from "./character-set.ts";
import { compile } from "./compile.ts";
import { characters, choice, type Grammar, list, optional, repeat, sequence, text } from "./grammar.ts";
import type { Vocabulary } from "./vocabulary.ts";

/**
 * What stands between tags: "text" (anything without < and >, at least one character), one of some texts, an object of
 * fields (in this order; those in `optional` may be left out), or a list of things separated by `<sep/>`.
 */
export type DonutShape =
  | "text"
  | { readonly choices: readonly string[] }
  | { readonly fields: Readonly<Record<string, DonutShape>>; readonly optional?: readonly string[] }
  | { readonly items: DonutShape };

const TEXT = repeat(characters(complement(charactersOf("<>"))), 1);

/** The answer is tagged as Donut's: `<s_menu><s_name>Tea</s_name><s_price>2.50</s_price></s_menu>`. */
export function donut(vocabulary: Vocabulary, shape: DonutShape): Constraint {
  return compile(vocabulary, grammarOf(shape));
}

function grammarOf(shape: DonutShape): Grammar {
  if (shape === "text") return TEXT;
  if ("choices" in shape) {
    const wrong = shape.choices.find((one) => /[<>]/.test(one) || one === "");
    if (wrong !== undefined || shape.choices.length === 0)
      throw new PaliGemmaError(
        "generation/constraint",
        `a choice is ${JSON.stringify(wrong)}; choices are texts without < and >, at least one`,
      );
    return choice(...shape.choices.map(text));
  }
  if ("items" in shape) return list(grammarOf(shape.items), text("<sep/>"), 1);
  const names = Object.keys(shape.fields);
  const wrong =
    names.find((name) => !/^[^\s<>/]+$/.test(name)) ?? shape.optional?.find((name) => !names.includes(name));
  if (wrong !== undefined || names.length === 0)
    throw new PaliGemmaError(
      "generation/constraint",
      `the field ${JSON.stringify(wrong)} is no field; names have no space, <, > and /, and optional ones are among the fields`,
    );
  return sequence(
    ...names.map((name) => {
      const field = sequence(text(`<s_${name}>`), grammarOf(shape.fields[name]!), text(`</s_${name}>`));
      return shape.optional?.includes(name) ? optional(field) : field;
    }),
  );
}
