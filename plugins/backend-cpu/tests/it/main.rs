//! The CPU backend against the float64 reference device, against itself, and against published numbers.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, and tells what it measured or skipped"
)]

mod memory;
mod parity;
mod policy;
mod smollm2;
