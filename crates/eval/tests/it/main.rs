//! Benchmarks from their files to what they come to, with a real executor where programs run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking and say what they skip"
)]

mod code;
mod evaluation;
