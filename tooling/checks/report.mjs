// What every check prints and how it ends: each problem on a line, then the count that tooling/test.mjs reads.

/** Prints the problems and the closing line; the process ends with 1 when there is a problem. */
export function report(passed, problems) {
  for (const problem of problems) console.log(`✗ ${problem}`);
  console.log(`${passed} passed, ${problems.length} failed`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
