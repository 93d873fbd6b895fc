//! The benchmarks.

pub mod code;
