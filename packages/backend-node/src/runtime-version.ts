/** The one version of onnxruntime-node that this package is made for and tested with: it relies on how weights are mapped and outputs written. */
export const RUNTIME_VERSION = "1.30.0";
