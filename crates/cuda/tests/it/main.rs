//! The CUDA device as a whole, on the emulated GPU of `cargo xtask kernels driver`, or, where `AZR_TEST_GPU` is set, on
//! the machine's own.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod conformance;
mod gpu;
mod model;
