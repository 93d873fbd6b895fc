#!/usr/bin/env bash
# Builds what travels to a machine with a GPU: benches/gpu/bin/azr-gpu-bench with the kernels in it, stripped. Needs Rust,
# and pip for CUDA's compiler (`cargo xtask kernels build`). `--no-kernels` leaves compiling them to NVRTC on that machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [ "${1:-}" != --no-kernels ]; then
    cargo xtask kernels build
fi
cargo build --release --package azr-gpu-bench
mkdir -p benches/gpu/bin
strip -o benches/gpu/bin/azr-gpu-bench "${CARGO_TARGET_DIR:-target}/release/azr-gpu-bench"
ls -l benches/gpu/bin/azr-gpu-bench
