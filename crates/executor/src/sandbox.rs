//! Starts worker processes that hold nothing of the trainer's and can do little to the machine.
//!
//! A worker is executed, never merely forked: a forked process would carry the trainer's memory, gold values
//! included, into the program's reach. What is done here holds for the worker itself; what holds for each
//! program on top of it is the plugin's part, with [`filter::program`] as the strict system-call filter.
//!
//! Not used in this version: Landlock, mount and pid namespaces, control groups. [`protections`] says so.

#![expect(unsafe_code, reason = "the limits are set between fork and exec, by system calls")]

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use seccompiler::BpfProgram;

mod facts;
pub mod filter;

pub use facts::protections;

/// User and group that workers change to when the trainer runs as root.
pub const NOBODY: u32 = 65_534;

/// What to start.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// Absolute path of the executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
}

/// Starts a process in a process group of its own, in `/`, with pipes as standard input and output.
///
/// Network, IPC and host-name namespaces are new where the kernel allows it, at once or inside a user namespace;
/// resource limits, `no_new_privs` and the outer system-call filter follow. Each step that the machine
/// refuses is left out; [`protections`] tells what came of it.
///
/// # Errors
/// When the filter cannot be built for this processor or the process cannot be started.
pub fn spawn(spec: &WorkerSpec) -> io::Result<Child> {
    let outer = filter::worker().map_err(io::Error::other)?;
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    // SAFETY: between fork and exec the closure makes system calls only; it neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            confine(&outer);
            Ok(())
        });
    }
    command.spawn()
}

fn confine(outer: &BpfProgram) {
    let spaces = libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    // SAFETY: plain system calls on the calling process, with valid pointers to locals.
    unsafe {
        if libc::unshare(spaces) != 0 {
            libc::unshare(libc::CLONE_NEWUSER | spaces);
        }
        for (resource, limit) in [
            (libc::RLIMIT_CORE, 0),
            (libc::RLIMIT_FSIZE, 0),
            (libc::RLIMIT_MEMLOCK, 0),
            (libc::RLIMIT_MSGQUEUE, 0),
            (libc::RLIMIT_NOFILE, 64),
        ] {
            let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
            libc::setrlimit(resource, &raw const limit);
        }
    }
    // Sets `no_new_privs` too. A failure shows in /proc and is judged there.
    let _ = seccompiler::apply_filter(outer);
}
