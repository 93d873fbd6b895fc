//! The `monty` executor: programs run in the embedded interpreter Monty, in worker processes of their own.
//!
//! Monty starts in microseconds and has no system to reach, but it can hang or end its process. So it runs in
//! *workers*: this executable once more (see [`worker`]), confined and supervised from outside. It is not CPython
//! either: what it would silently do in another way is found on the syntax tree or by guards in the program,
//! and reported as [`Outcome::Unsupported`](azr_plugin::Outcome::Unsupported).
//!
//! A program is compiled once and its module code runs anew for each call. [`Purpose::Gold`](azr_plugin::Purpose)
//! runs each call in two processes and compares the values to the bit.

use std::path::PathBuf;
use std::sync::Mutex;

use azr_executor::sandbox::Demand;
use azr_executor::{ImportPolicy, pool};
use azr_plugin::{CallContext, Engine, Executor, Job, JobReport, Protection, Result, Services};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod faithful;
mod guard;
mod launch;
mod prepare;
mod protocol;
mod slot;
pub mod worker;

use launch::Launch;
use slot::Slot;

/// Most jobs that a worker takes at once.
const LONGEST_CHUNK: usize = 16;

/// How strict the rules on a program's text are. The process sandbox is the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Modules and names outside the allow-list are refused before a program runs.
    #[default]
    Strict,
    /// Programs may name everything; what the interpreter does not have, they still do not get.
    Open,
}

/// Options of [`MontyExecutor`].
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MontyOptions {
    /// Number of programs that run at once; 0 is one per processor core.
    pub workers: usize,
    /// Executable of the workers; by default the running one.
    pub worker: Option<PathBuf>,
    /// Rules on the text of programs.
    pub policy: Policy,
    /// How much protection is demanded.
    pub sandbox: Demand,
}

/// Runs programs in embedded interpreters.
#[derive(Debug)]
pub struct MontyExecutor {
    launch: Launch,
    gate: Option<ImportPolicy>,
    slots: Mutex<Vec<Slot>>,
    protections: Vec<Protection>,
}

impl Engine for MontyExecutor {
    const NAME: &'static str = "monty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "runs programs in embedded interpreters, in sandboxed processes";
    type Options = MontyOptions;

    fn capabilities() -> serde_json::Value {
        serde_json::json!({ "language": "python", "gold": true })
    }

    fn create(options: MontyOptions, _services: Services) -> Result<Self> {
        let launch = Launch::new(options.worker);
        // The first worker shows whether the sandbox holds; the others start when they are first needed.
        let first = launch.start()?;
        let is_gated = options.policy == Policy::Strict;
        let protections = first.protections(options.sandbox, is_gated)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n_workers = if options.workers == 0 { cores } else { options.workers };
        let mut slots: Vec<Slot> = (0..n_workers).map(|_| Slot::default()).collect();
        if let Some(slot) = slots.first_mut() {
            slot.adopt(first);
        }
        let gate = is_gated.then(ImportPolicy::default);
        Ok(Self { launch, gate, slots: Mutex::new(slots), protections })
    }
}

impl Executor for MontyExecutor {
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        let mut slots = pool::lock(&self.slots, context)?;
        let total = jobs.len() as u64;
        let work = |slot: &mut Slot, chunk: std::ops::Range<usize>| {
            let jobs = jobs.get(chunk).unwrap_or_default();
            slot.run(jobs, &self.launch, self.gate.as_ref(), context)
        };
        pool::run_chunks_in_order(&mut slots, jobs.len(), LONGEST_CHUNK, work, |done| {
            context.progress(done as u64, total)
        })
    }

    fn protections(&self) -> Vec<Protection> {
        self.protections.clone()
    }
}

azr_plugin::export! { entry: azr_executor_monty, executors: [MontyExecutor] }
