export { BACKEND_TOLERANCES, HALF_TOLERANCES, type BackendTolerances, type MakeSource } from "./bench.ts";
export { testBackend, type BackendSuite } from "./suite.ts";
