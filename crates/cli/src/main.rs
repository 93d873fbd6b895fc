//! The `azr` binary: commands over the crates that do the work.
//!
//! Data goes to stdout, everything else to stderr. Nothing here holds logic that a test of a crate could not reach.

mod args;
mod benchmarks;
mod check;
mod console;
mod doctor;
mod engines;
mod eval;
mod heldout;
mod interrupt;
mod models;
mod nano;
mod plan;
mod plugins;
mod print;
mod train;

use std::process::ExitCode;

use args::{Cli, Command};
use azr_executor_monty::worker;
use azr_plugin::ErrorCode;
use clap::Parser;

/// Counts what is allocated, so that a worker of the embedded interpreter can be held to its memory limit.
#[global_allocator]
static ALLOCATOR: worker::Allocator = worker::Allocator;

/// How a command ended that did what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Done,
    /// What was to be found out is that something fails; it is printed.
    Failed,
    /// Ctrl-C, after what was done was saved.
    Interrupted,
}

fn main() -> ExitCode {
    // The workers of the embedded interpreter are this binary once more.
    if let Some(code) = worker::run_if_asked() {
        return code;
    }
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Train(train) => train::run(&train, &cli.plugins),
        Command::Plan(train) => plan::run(&train, &cli.plugins, cli.format).map(|()| Ending::Done),
        Command::Eval(eval) => eval::run(&eval, &cli.plugins, cli.format),
        Command::Model(model) => models::run(&model, cli.format).map(|()| Ending::Done),
        Command::Plugins(command) => {
            let ending = |is_well| if is_well { Ending::Done } else { Ending::Failed };
            plugins::run(&command, &cli.plugins, cli.format).map(ending)
        }
        Command::Doctor { strict_sandbox } => {
            doctor::run(&cli.plugins, cli.format, strict_sandbox).map(|()| Ending::Done)
        }
    };
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::FAILURE,
        Ok(Ending::Interrupted) => ExitCode::from(3),
        Err(error) => {
            print::error(&error);
            ExitCode::from(if is_usage_error(&error) { 2 } else { 1 })
        }
    }
}

/// Whether what the user wrote is wrong, rather than that something failed.
fn is_usage_error(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(azr_run::RunError::Config { .. }))
            || matches!(cause.downcast_ref(), Some(azr_selfplay::SelfPlayError::Config { .. }))
            || cause.downcast_ref().is_some_and(azr_host::HostError::is_usage)
            || cause.downcast_ref().is_some_and(azr_eval::EvalError::is_usage)
            || cause
                .downcast_ref()
                .is_some_and(|e: &azr_plugin::PluginError| e.code == ErrorCode::InvalidConfig)
    })
}
