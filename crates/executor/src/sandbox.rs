//! Starts worker processes that hold nothing of the trainer's and can do little to the machine.
//!
//! A worker is executed, never merely forked: a forked process would carry the trainer's memory, gold values
//! included, into the program's reach. What is done here holds for the worker itself; what holds for each
//! program on top of it is the worker's part, with [`filter::allow_list`] as the strict system-call filter.
//!
//! A worker is in new namespaces where the machine allows them, the first process of its own process-id namespace:
//! when it ends, the kernel ends all that it started. Landlock leaves it [`WorkerSpec::readable`]. Each step
//! that the machine refuses is left out; [`Process::protections`] tells what came of it and [`Demand`] says what of
//! it may be missing.
//!
//! What a worker must do itself: end when its standard input ends, also in the middle of a job (that is how it
//! learns that the trainer was killed), and give up root with [`become_nobody`] before it runs a program.
//! The first process of a namespace ignores every signal but those that the kernel itself forces on it: `abort()`
//! shows as `SIGSEGV` there, and `SIGTERM` does nothing.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

mod demand;
mod facts;
mod files;
pub mod filter;
mod process;
mod start;

pub use demand::{Demand, SECCOMP_PROGRAM};
pub use process::{Process, become_nobody};

/// User and group that workers change to when the trainer runs as root.
pub const NOBODY: u32 = 65_534;

/// What to start.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// Absolute path of the executable; `/proc/self/exe` is the trainer's own.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Files and folders (with all below them) that may be read and executed, where Landlock is in force. The
    /// executable and its libraries must be among them; what does not exist is left out. The null device may always
    /// be used. `/proc/self/exe` stands for the trainer's own executable, wherever it lies.
    pub readable: Vec<PathBuf>,
    /// Whether code and data lie at the same addresses in every process that is started from this.
    pub fixed_addresses: bool,
}

/// Starts a process in a session of its own, in `/`, with pipes as standard input and output.
///
/// # Errors
/// When the filter cannot be built for this processor or the process cannot be started.
pub fn spawn(spec: &WorkerSpec) -> io::Result<Process> {
    start::start(spec)
}

#[cfg(test)]
mod tests;
