//! The worker's side: what runs in a process of its own, which is this executable once more.
//!
//! A program that offers the `monty` executor calls [`run_if_asked`] before anything else in its `main` and
//! makes [`Allocator`] its global allocator:
//!
//! ```ignore
//! #[global_allocator]
//! static ALLOCATOR: worker::Allocator = worker::Allocator;
//!
//! fn main() -> ExitCode {
//!     if let Some(code) = worker::run_if_asked() {
//!         return code;
//!     }
//!     // …
//! }
//! ```

use std::process::ExitCode;

mod allocator;
mod confine;
mod convert;
mod interpret;
mod pipe;

pub use allocator::Allocator;

use crate::protocol::{Hello, Request, encode_outcome};
use interpret::Interpreter;
use pipe::Pipes;

/// The first argument of a worker process.
pub(crate) const ARGUMENT: &str = "__azr-monty-worker";

/// Stack on which programs run: room for the deepest recursion that the interpreter allows, many times over.
const STACK_BYTES: usize = 256 << 20;

/// Serves as a worker until the host has gone, if this process was started as one.
pub fn run_if_asked() -> Option<ExitCode> {
    if std::env::args_os().nth(1)?.to_str()? != ARGUMENT {
        return None;
    }
    Some(stacker::grow(STACK_BYTES, serve))
}

fn serve() -> ExitCode {
    let has_allocator = allocator::arm();
    let has_filter = confine::confine();
    let mut pipes = Pipes::default();
    if pipes.send(&Hello { has_allocator, has_filter }.encode()).is_err() {
        return ExitCode::FAILURE;
    }
    let mut interpreter = Interpreter::default();
    while let Ok(Some(body)) = pipes.receive() {
        let answer = match Request::decode(&body) {
            Some(Request::Program { limits, is_guarded, source }) => {
                interpreter.load(source, is_guarded, limits);
                continue;
            }
            Some(Request::Call(arguments)) => interpreter.call(arguments),
            None => return ExitCode::FAILURE,
        };
        if pipes.send(&encode_outcome(&answer)).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
