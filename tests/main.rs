//! Tests that cross crates: whole runs of the `azr` binary on a tiny model, plugins loaded from files, bad input.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends at its first surprise, and says when it was skipped"
)]

mod bad_input;
#[path = "../crates/host/tests/it/built.rs"]
mod built;
mod cli;
mod equivalence;
mod eval;
mod examples;
mod fixtures;
mod gpu;
#[path = "../crates/eval/src/server/loopback.rs"]
mod loopback;
mod models;
mod plugins;
mod real_model;
mod runs;
