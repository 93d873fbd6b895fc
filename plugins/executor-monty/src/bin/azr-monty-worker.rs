//! A worker of the `monty` executor and nothing else, for hosts whose own `main` is none.

use std::process::ExitCode;

use azr_executor_monty::worker;

#[global_allocator]
static ALLOCATOR: worker::Allocator = worker::Allocator;

fn main() -> ExitCode {
    worker::run_if_asked().unwrap_or(ExitCode::from(2))
}
