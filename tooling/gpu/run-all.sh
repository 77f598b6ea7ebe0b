#!/usr/bin/env bash
# Everything that needs a CUDA device, in one call: provider libraries, conformance, parity with transformers, benchmark.
#   tooling/gpu/run-all.sh [size of paligemma to measure, default paligemma-3b-224]
# CUDA_LIBRARIES=FOLDER takes libonnxruntime_providers_{shared,cuda}.so from there instead of downloading them.
set -euo pipefail
cd "$(dirname "$0")/../.."
size="${1:-paligemma-3b-224}"

# Skipped tests are failures from here on.
export REQUIRE_DEVICE=cuda
# Without it the driver rounds factors of float32 products to 10 bits, and nothing agrees to 1e-5.
export NVIDIA_TF32_OVERRIDE=0

node tooling/setup.mjs

runtime="$(cd packages/backend-node && node -p 'path.dirname(require.resolve("onnxruntime-node"))')/.."
libraries="$runtime/bin/napi-v6/linux/x64"
if [ -n "${CUDA_LIBRARIES:-}" ]; then
  cp "$CUDA_LIBRARIES"/libonnxruntime_providers_{shared,cuda}.so "$libraries/"
elif [ ! -e "$libraries/libonnxruntime_providers_cuda.so" ]; then
  (cd "$runtime" && ONNXRUNTIME_NODE_INSTALL=1 node script/install.js)
fi
ldd "$libraries/libonnxruntime_providers_cuda.so" | grep -E "cudart|cublas|cudnn|not found" || true

npx vitest run packages/backend-node packages/paligemma/test/parity.test.ts

checkpoint="$(mktemp -d)"
trap 'rm -rf "$checkpoint"' EXIT
tsx() { node --conditions=@paligemma/source --import tsx "$@"; }
tsx tooling/checkpoints/make-random.ts "$size" --out "$checkpoint" --shards 3
for device in cuda cpu; do tsx tooling/gpu/benchmark.ts "$checkpoint" --device "$device"; done
