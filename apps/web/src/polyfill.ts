// `using` and `await using` of the packages ask for these symbols, which some browsers do not have yet.
for (const name of ["dispose", "asyncDispose"]) {
  if (!(name in Symbol)) Object.defineProperty(Symbol, name, { value: Symbol(name) });
}
