//! One zygote: how it is started and how calls are run in it.

use std::time::{Duration, Instant};

use azr_executor::ImportPolicy;
use azr_executor::pool;
use azr_executor::sandbox::{Demand, NOBODY, Process, SECCOMP_PROGRAM, WorkerSpec, filter};
use azr_executor::value::MAX_BYTES;
use azr_executor::worker::{Worker, WorkerError};
use azr_plugin::{CallContext, ErrorCode, Limits, Outcome, PluginError, Protection, Result};
use serde::{Deserialize, Serialize};

use crate::interpreter::Interpreter;
use crate::{answer, wire};

const HARNESS: &str = include_str!("harness.py");

/// Longest frame from a zygote: the longest value and some words around it.
const LONGEST_FRAME: usize = MAX_BYTES + 4_096;

/// Longest job that a zygote takes, as long as its buffer: a program and arguments are far shorter.
const LONGEST_JOB: usize = (1 << 20) - 4;

/// How long a zygote may take to start, also on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How much later than a call's own limit the zygote may answer before it is killed itself.
const GRACE: Duration = Duration::from_secs(1);

/// How long a zygote may take to read a job.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that all zygotes of an executor have in common.
#[derive(Debug)]
pub(crate) struct Launch {
    interpreter: Interpreter,
    policy: ImportPolicy,
    open: bool,
    demand: Demand,
    filter: String,
}

#[derive(Serialize)]
struct Settings<'a> {
    modules: Vec<&'a str>,
    refused: Vec<&'a str>,
    open: bool,
    filter: &'a str,
    filter_demanded: bool,
    /// Whether objects lie out of order, so that results that depend on that differ from those of another zygote.
    scattered: bool,
    user: u32,
}

#[derive(Deserialize)]
struct Hello {
    filter_holds: bool,
}

/// A running zygote. Dropping it ends it and what it runs.
#[derive(Debug)]
pub(crate) struct Zygote {
    worker: Worker,
    filter_holds: bool,
    /// Address space of the idle interpreter, which limits on memory start from.
    idle_bytes: u64,
}

/// What became of a batch of calls.
pub(crate) struct Batch {
    /// Outcomes of the first calls.
    pub(crate) outcomes: Vec<Outcome>,
    /// Why the next call has none; the zygote must be dropped then.
    pub(crate) failure: Option<WorkerError>,
}

impl Launch {
    pub(crate) fn new(
        interpreter: Interpreter,
        policy: &ImportPolicy,
        open: bool,
        demand: Demand,
    ) -> Result<Self> {
        let filter = filter::allow_list(&[])
            .map_err(|error| PluginError::new(ErrorCode::Unavailable, error.to_string()))?;
        let filter = filter::bytes(&filter).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { interpreter, policy: policy.clone(), open, demand, filter })
    }

    fn settings(&self, hash_seed: u32) -> Result<Vec<u8>> {
        let settings = Settings {
            modules: self.policy.modules.iter().map(String::as_str).collect(),
            refused: self.policy.refused_names.iter().map(String::as_str).collect(),
            open: self.open,
            filter: &self.filter,
            filter_demanded: self.demand != Demand::Any,
            scattered: hash_seed != 0,
            user: NOBODY,
        };
        serde_json::to_vec(&settings)
            .map_err(|error| PluginError::new(ErrorCode::Internal, error.to_string()))
    }
}

impl Zygote {
    /// Starts a zygote whose strings are hashed with `hash_seed`, if it has all the protection that is demanded.
    pub(crate) fn start(launch: &Launch, hash_seed: u32) -> Result<Self> {
        let zygote = Self::start_anyhow(launch, hash_seed)?;
        launch.demand.check(&zygote.protections())?;
        Ok(zygote)
    }

    /// Starts a zygote with what protection there is.
    pub(crate) fn start_anyhow(launch: &Launch, hash_seed: u32) -> Result<Self> {
        let path = &launch.interpreter.path;
        let failed = |error: WorkerError| {
            PluginError::new(
                ErrorCode::Unavailable,
                format!("cannot run {} in the sandbox: {error}", path.display()),
            )
            .with_hint("name another interpreter with the option python of this executor")
        };
        let spec = WorkerSpec {
            program: path.clone(),
            arguments: ["-s", "-S", "-B", "-c", HARNESS].iter().map(Into::into).collect(),
            environment: [
                ("PYTHONHASHSEED", hash_seed.to_string().as_str()),
                ("LC_CTYPE", "C.UTF-8"),
                // Symbols that were looked up before the first fork need no page of their own after it.
                ("LD_BIND_NOW", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            readable: launch.interpreter.readable.clone(),
            // Results that depend on an address differ between the two.
            fixed_addresses: hash_seed == 0,
        };
        let mut worker = Worker::start(&spec, LONGEST_FRAME).map_err(failed)?;
        let deadline = Instant::now() + START_TIMEOUT;
        worker.send(&launch.settings(hash_seed)?, deadline, &|| false).map_err(failed)?;
        let frame = worker.receive(deadline, &|| false).map_err(failed)?;
        let hello: Hello = serde_json::from_slice(&frame)
            .map_err(|_| failed(WorkerError::Protocol(frame.len())))?;
        let ended = || failed(WorkerError::Ended);
        let idle_bytes = worker.process().address_space_bytes().ok_or_else(ended)?;
        Ok(Self { worker, filter_holds: hello.filter_holds, idle_bytes })
    }

    /// The process that programs are forked from.
    pub(crate) fn process(&self) -> &Process {
        self.worker.process()
    }

    /// What protects the machine from programs.
    pub(crate) fn protections(&self) -> Vec<Protection> {
        let mut protections = self.process().protections();
        protections.push(Protection {
            name: SECCOMP_PROGRAM.to_owned(),
            in_force: self.filter_holds,
            detail: if self.filter_holds {
                "a program can use memory, its answer pipe and nothing else: no files, processes, signals, sockets; it \
                 can wait, but not longer than its wall time"
            } else {
                "the kernel refused the filter"
            }
            .to_owned(),
        });
        protections
    }

    /// Runs `calls` of a program until all are answered or the zygote itself fails.
    ///
    /// # Errors
    /// Only when the context is cancelled; the zygote must be dropped then.
    pub(crate) fn run(
        &mut self,
        source: &str,
        calls: &[String],
        limits: &Limits,
        context: &dyn CallContext,
    ) -> Result<Batch> {
        let output_bytes =
            usize::try_from(limits.output_bytes).unwrap_or(usize::MAX).min(MAX_BYTES);
        // A day bounds the arithmetic of clocks on both sides.
        let wall_ms = limits.wall_ms.clamp(1, 86_400_000);
        let cpu_ms = limits.cpu_ms.clamp(1, 86_400_000);
        let address_space_bytes = self.idle_bytes + limits.memory_bytes.min(1 << 44);
        let limits = [wall_ms, cpu_ms, address_space_bytes, output_bytes as u64];
        let is_cancelled = || context.is_cancelled();
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut exchanged = Ok(());
        for call in calls {
            // One by one: a program must not find the arguments of other calls in its process.
            let body = wire::job(limits, source, call);
            if body.len() > LONGEST_JOB {
                outcomes.push(Outcome::Refused("arguments".to_owned()));
                continue;
            }
            let answer = self
                .worker
                .send(&body, Instant::now() + SEND_TIMEOUT, &is_cancelled)
                // The program did not run: no limit of its own is at fault, but the zygote.
                .map_err(|error| match error {
                    WorkerError::Late => WorkerError::Ended,
                    error => error,
                })
                .and_then(|()| {
                    let deadline = Instant::now() + Duration::from_millis(wall_ms) + GRACE;
                    self.worker.receive(deadline, &is_cancelled)
                });
            match answer {
                Ok(frame) => outcomes.push(answer::outcome(&frame, output_bytes)),
                Err(error) => {
                    exchanged = Err(error);
                    break;
                }
            }
        }
        match exchanged {
            Err(WorkerError::Cancelled) => Err(pool::cancelled()),
            exchanged => Ok(Batch { outcomes, failure: exchanged.err() }),
        }
    }
}
