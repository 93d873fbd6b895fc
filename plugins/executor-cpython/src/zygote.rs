//! One zygote: how it is started and how calls are run in it.

use std::time::{Duration, Instant};

use azr_executor::ImportPolicy;
use azr_executor::sandbox::{NOBODY, WorkerSpec, filter};
use azr_executor::value::MAX_BYTES;
use azr_executor::worker::{Worker, WorkerError};
use azr_plugin::{CallContext, ErrorCode, LimitKind, Limits, Outcome, PluginError, Result};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::interpreter::Interpreter;

const HARNESS: &str = include_str!("harness.py");

/// Longest frame from a zygote: the longest value and some words around it.
const LONGEST_FRAME: usize = MAX_BYTES + 4_096;

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
    settings: Vec<u8>,
}

#[derive(Serialize)]
struct Settings<'a> {
    modules: Vec<&'a str>,
    refused: Vec<&'a str>,
    open: bool,
    filter: String,
    user: u32,
}

#[derive(Deserialize)]
struct Hello {
    filter_holds: bool,
}

/// Calls of one program, as the harness reads them.
#[derive(Serialize)]
struct JobFrame<'a> {
    source: &'a str,
    calls: &'a [String],
    fresh: bool,
    wall_ms: u64,
    cpu_ms: u64,
    memory_bytes: u64,
    output_bytes: usize,
}

/// A running zygote. Dropping it ends it and what it runs.
#[derive(Debug)]
pub(crate) struct Zygote {
    worker: Worker,
    filter_holds: bool,
}

/// What became of a batch of calls.
pub(crate) struct Batch {
    /// Outcomes of the first calls; at least one.
    pub(crate) outcomes: Vec<Outcome>,
    /// Whether the zygote may be used again.
    pub(crate) is_alive: bool,
}

impl Launch {
    pub(crate) fn new(interpreter: Interpreter, policy: &ImportPolicy, open: bool) -> Result<Self> {
        let unavailable = |error: &dyn std::fmt::Display| {
            PluginError::new(ErrorCode::Unavailable, error.to_string())
        };
        let program_filter = filter::program().map_err(|error| unavailable(&error))?;
        let settings = Settings {
            modules: policy.modules.iter().map(String::as_str).collect(),
            refused: policy.refused_names.iter().map(String::as_str).collect(),
            open,
            filter: program_filter.iter().map(|byte| format!("{byte:02x}")).collect(),
            user: NOBODY,
        };
        let settings = serde_json::to_vec(&settings).map_err(|error| unavailable(&error))?;
        Ok(Self { interpreter, settings })
    }
}

impl Zygote {
    /// Starts a zygote whose strings are hashed with `hash_seed`.
    pub(crate) fn start(launch: &Launch, hash_seed: u32) -> Result<Self> {
        let path = &launch.interpreter.path;
        let failed = |error: WorkerError| {
            PluginError::new(
                ErrorCode::Unavailable,
                format!("cannot run {} in the sandbox: {error}", path.display()),
            )
            .with_hint("name another interpreter with the option python")
        };
        let spec = WorkerSpec {
            program: path.clone(),
            arguments: ["-s", "-S", "-B", "-c", HARNESS].iter().map(Into::into).collect(),
            environment: vec![("PYTHONHASHSEED".to_owned(), hash_seed.to_string())],
        };
        let mut worker = Worker::start(&spec, LONGEST_FRAME).map_err(failed)?;
        let deadline = Instant::now() + START_TIMEOUT;
        worker.send(&launch.settings, deadline, &|| false).map_err(failed)?;
        let frame = worker.receive(deadline, &|| false).map_err(failed)?;
        let hello: Hello = serde_json::from_slice(&frame)
            .map_err(|_| failed(WorkerError::Protocol(frame.len())))?;
        Ok(Self { worker, filter_holds: hello.filter_holds })
    }

    pub(crate) fn id(&self) -> u32 {
        self.worker.id()
    }

    /// Whether children run under the strict filter; the zygote tried it.
    pub(crate) fn filter_holds(&self) -> bool {
        self.filter_holds
    }

    /// Runs `calls` of a program until all are answered or the zygote itself fails, which costs it its life.
    ///
    /// # Errors
    /// Only when the context is cancelled; the zygote must be dropped then.
    pub(crate) fn run(
        &mut self,
        source: &str,
        calls: &[String],
        fresh: bool,
        limits: &Limits,
        context: &dyn CallContext,
    ) -> Result<Batch> {
        let output_bytes =
            usize::try_from(limits.output_bytes).unwrap_or(usize::MAX).min(MAX_BYTES);
        // A day bounds the arithmetic of clocks on both sides.
        let wall_ms = limits.wall_ms.clamp(1, 86_400_000);
        let memory_bytes = limits.memory_bytes.min(1 << 44);
        let cpu_ms = limits.cpu_ms.clamp(1, 86_400_000);
        let frame = JobFrame { source, calls, fresh, wall_ms, cpu_ms, memory_bytes, output_bytes };
        let body = serde_json::to_vec(&frame).map_err(|error| {
            PluginError::new(ErrorCode::Internal, format!("job does not encode: {error}"))
        })?;
        let is_cancelled = || context.is_cancelled();
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut exchanged = self.worker.send(&body, Instant::now() + SEND_TIMEOUT, &is_cancelled);
        while exchanged.is_ok() && outcomes.len() < calls.len() {
            let deadline = Instant::now() + Duration::from_millis(wall_ms) + GRACE;
            exchanged = self.worker.receive(deadline, &is_cancelled).map(|frame| {
                outcomes.push(answer::outcome(&frame, output_bytes));
            });
        }
        match exchanged {
            Ok(()) => Ok(Batch { outcomes, is_alive: true }),
            Err(WorkerError::Cancelled) => Err(cancelled()),
            Err(error) => {
                outcomes.push(match error {
                    WorkerError::Late => Outcome::Limit(LimitKind::Wall),
                    _ => Outcome::Crashed(error.to_string()),
                });
                Ok(Batch { outcomes, is_alive: false })
            }
        }
    }
}

pub(crate) fn cancelled() -> PluginError {
    PluginError::new(ErrorCode::Cancelled, "cancelled")
}
