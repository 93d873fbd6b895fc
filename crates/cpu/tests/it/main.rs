//! The CPU device as a whole.

mod conformance;
mod determinism;
mod products;
