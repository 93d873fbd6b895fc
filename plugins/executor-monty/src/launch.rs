//! Starts worker processes and makes sure that they are ours.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use azr_executor::sandbox::{Demand, SECCOMP_PROGRAM, WorkerSpec};
use azr_executor::worker::{Worker, WorkerError};
use azr_plugin::{ErrorCode, PluginError, Protection, Result};

use crate::protocol::{Hello, LONGEST_FRAME};
use crate::worker::ARGUMENT;

/// How long a worker may take to start, also on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a worker is started before it is given up, once one has started.
const MAX_STARTS: usize = 3;

/// Pause before a worker is started again: what it lacks may be there then.
const START_PAUSE: Duration = Duration::from_millis(100);

/// The executable of this process.
const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// What the dynamic linker reads.
const LIBRARIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];

/// Everything that all workers of an executor have in common.
#[derive(Debug)]
pub(crate) struct Launch {
    spec: WorkerSpec,
}

/// A worker that has said hello.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) worker: Worker,
    hello: Hello,
}

impl Launch {
    pub(crate) fn new(worker: Option<PathBuf>) -> Self {
        let program = worker.unwrap_or_else(|| OWN_EXECUTABLE.into());
        let readable = LIBRARIES.iter().map(PathBuf::from).chain([program.clone()]).collect();
        let spec = WorkerSpec {
            program,
            arguments: vec![ARGUMENT.into()],
            environment: Vec::new(),
            readable,
            fixed_addresses: true,
        };
        Self { spec }
    }

    pub(crate) fn start(&self) -> Result<Started> {
        let mut worker =
            Worker::start(&self.spec, LONGEST_FRAME).map_err(|error| self.failed(&error))?;
        let deadline = Instant::now() + START_TIMEOUT;
        let frame = worker.receive(deadline, &|| false).map_err(|error| self.failed(&error))?;
        let hello = Hello::decode(&frame)
            .ok_or_else(|| self.failed(&WorkerError::Protocol(frame.len())))?;
        if !hello.has_allocator {
            let message = format!(
                "the memory of programs cannot be limited in {}: it has another allocator",
                self.spec.program.display()
            );
            return Err(PluginError::new(ErrorCode::Unavailable, message).with_hint(
                "make azr_executor_monty::worker::Allocator its global allocator, or name the executable \
                 azr-monty-worker with the option worker",
            ));
        }
        Ok(Started { worker, hello })
    }

    /// Starts one more worker. The executable is in order, as an earlier one has started: what fails is the machine.
    pub(crate) fn restart(&self) -> Result<Started> {
        let mut n_starts = 1;
        loop {
            match self.start() {
                Err(_) if n_starts < MAX_STARTS => {
                    n_starts += 1;
                    std::thread::sleep(START_PAUSE);
                }
                Err(error) => {
                    return Err(PluginError::new(error.code, error.message).with_hint(
                        "workers could be started before: look at free memory and at the limits on memory and \
                         processes of this user and its control group",
                    ));
                }
                started => return started,
            }
        }
    }

    fn failed(&self, error: &WorkerError) -> PluginError {
        let message = format!("cannot use {} as a worker: {error}", self.spec.program.display());
        PluginError::new(ErrorCode::Unavailable, message).with_hint(
            "its main must call azr_executor_monty::worker::run_if_asked first; or name the executable \
             azr-monty-worker of the same version with the option worker",
        )
    }
}

impl Started {
    /// What protects the machine from this worker, if that is as much as is demanded.
    pub(crate) fn protections(&self, demand: Demand, is_gated: bool) -> Result<Vec<Protection>> {
        let entry = |name: &str, in_force, detail: &str| Protection {
            name: name.to_owned(),
            in_force,
            detail: detail.to_owned(),
        };
        let filter = if self.hello.has_filter {
            "a worker can compute, use memory and its two pipes and nothing else: no files, processes, signals or \
             sockets"
        } else {
            "the kernel refused the filter"
        };
        let mut protections = self.worker.protections();
        protections.push(entry(SECCOMP_PROGRAM, self.hello.has_filter, filter));
        protections.push(entry(
            "interpreter",
            true,
            "the embedded interpreter has no files, clock, chance, processes or network",
        ));
        protections.push(entry(
            "limits",
            true,
            "wall time and processor time are supervised from outside; memory is counted by the allocator, at most 64 \
             MiB; answer size, recursion and printing are limited",
        ));
        demand.check(&protections)?;
        protections.push(entry(
            "static-gate",
            is_gated,
            if is_gated {
                "modules and names are checked before a program runs"
            } else {
                "option policy = open"
            },
        ));
        Ok(protections)
    }
}
