import { writeFile } from "node:fs/promises";
import type { GraphProfile } from "@paligemma/backend-node";
import { PaliGemmaError } from "@paligemma/core";

/** Operators of a graph that are listed one by one. */
const LISTED = 12;

/** Prints a profile for people on the standard error, and writes it as JSON where that was asked for. */
export async function tellProfile(
  graphs: readonly GraphProfile[],
  { profile, profileOut }: { readonly profile?: boolean; readonly profileOut?: string },
): Promise<void> {
  const ran = graphs.filter(({ runs }) => runs > 0);
  if (profile === true) process.stderr.write(`${ran.map(table).join("\n\n")}\n`);
  if (profileOut === undefined) return;
  await writeFile(profileOut, `${JSON.stringify({ graphs: ran }, null, 2)}\n`).catch((cause: unknown) => {
    throw new PaliGemmaError("cli/profile", `${profileOut} cannot be written: ${(cause as Error).message}`, { cause });
  });
}

function table({ graph, runs, milliseconds, operators }: GraphProfile): string {
  const inOperators = sum(operators, "milliseconds");
  const rest = operators.slice(LISTED);
  const rows = [
    ...operators.slice(0, LISTED),
    ...(rest.length > 0
      ? [{ operator: `${rest.length} others`, calls: sum(rest, "calls"), milliseconds: sum(rest, "milliseconds") }]
      : []),
    {
      operator: operators.length > 0 ? "between operators" : "all of it",
      calls: runs,
      milliseconds: Math.max(0, milliseconds - inOperators),
    },
  ];
  const width = Math.max(...rows.map(({ operator }) => operator.length));
  return [
    `${graph}: ${runs} ${runs === 1 ? "run" : "runs"}, ${milliseconds.toFixed(1)} ms`,
    ...rows.map((row) => {
      const share = milliseconds === 0 ? 0 : (100 * row.milliseconds) / milliseconds;
      const cells = [
        row.milliseconds.toFixed(1).padStart(10),
        `${share.toFixed(1)} %`.padStart(8),
        String(row.calls).padStart(8),
      ];
      return `  ${row.operator.padEnd(width)} ${cells[0]} ms ${cells[1]} ${cells[2]} calls`;
    }),
  ].join("\n");
}

function sum<K extends "calls" | "milliseconds">(rows: readonly Record<K, number>[], what: K): number {
  return rows.reduce((total, row) => total + row[what], 0);
}
