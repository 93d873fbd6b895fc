//! Tests that cross crates: whole runs of the `azr` binary on a tiny model, plugins loaded from files, bad input.

mod bad_input;
mod cli;
mod fixtures;
mod plugins;
mod real_model;
mod runs;
