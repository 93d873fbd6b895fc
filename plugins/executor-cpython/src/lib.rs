//! The `cpython` executor: programs run in CPython, one forked process for each, under limits and system-call filters.
//!
//! A worker is a pair of *zygotes* (Python processes that imported the allowed modules once), with hash seeds 0
//! and 1. A zygote forks a child for every call; the child gives up everything but its answer pipe and runs.
//! [`Purpose::Check`](azr_plugin::Purpose::Check) asks the first zygote,
//! [`Purpose::Gold`](azr_plugin::Purpose::Gold) both, and compares the values to the bit. The first one has fixed
//! addresses, the second one random ones, so that a value that depends on an address differs, too.
//!
//! The memory limit counts from the size of the idle interpreter. `MemoryError` and `RecursionError` are
//! reported as limits, whoever raised them.

use std::path::PathBuf;
use std::sync::Mutex;

use azr_executor::sandbox::Demand;
use azr_executor::{ImportPolicy, pool};
use azr_plugin::{
    CallContext, Engine, ErrorCode, Executor, Job, JobReport, PluginError, Protection, Result,
    Services,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod answer;
mod interpreter;
mod slot;
mod wire;
mod zygote;

use slot::Slot;
use zygote::{Launch, Zygote};

/// How strict the rules on a program's text are. The process sandbox is the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Modules and names outside the allow-list are refused before a program runs.
    #[default]
    Strict,
    /// Everything that is already loaded may be used; the process sandbox alone contains programs. Besides what strict
    /// programs may import, that is what ordinary programs do, such as `hashlib`, `random` and `sys`: benchmarks need it.
    Open,
}

/// What is loaded for [`Policy::Open`] besides the allowed modules; nothing can be loaded later. `datetime` has a clock
/// that cannot be stopped.
const OPEN_MODULES: [&str; 10] =
    ["contextlib", "hashlib", "io", "os", "random", "struct", "sys", "time", "timeit", "types"];

/// Options of [`CpythonExecutor`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CpythonOptions {
    /// Python interpreter, 3.9 or newer; by default the first that is found.
    pub python: Option<PathBuf>,
    /// Number of programs that run at once; 0 is one per processor core.
    pub workers: usize,
    /// Rules on the text of programs.
    pub policy: Policy,
    /// How much of the sandbox must be in force; with less, the executor refuses to start.
    pub sandbox: Demand,
}

impl Default for CpythonOptions {
    fn default() -> Self {
        Self { python: None, workers: 0, policy: Policy::Strict, sandbox: Demand::Default }
    }
}

/// Runs programs in sandboxed CPython processes.
#[derive(Debug)]
pub struct CpythonExecutor {
    launch: Launch,
    gate: Option<ImportPolicy>,
    slots: Mutex<Vec<Slot>>,
    protections: Vec<Protection>,
}

impl Engine for CpythonExecutor {
    const NAME: &'static str = "cpython";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "runs programs in sandboxed CPython processes";
    type Options = CpythonOptions;

    fn capabilities() -> serde_json::Value {
        serde_json::json!({ "language": "python", "gold": true })
    }

    fn create(options: CpythonOptions, _services: Services) -> Result<Self> {
        let mut policy = ImportPolicy::default();
        if options.policy == Policy::Open {
            policy.modules.extend(OPEN_MODULES.map(str::to_owned));
        }
        let modules: Vec<&str> = policy.modules.iter().map(String::as_str).collect();
        // The first zygote shows what holds here; the others start when they are first needed.
        let (launch, first) =
            interpreter::find(options.python.as_deref(), &modules, |interpreter| {
                let open = options.policy == Policy::Open;
                let launch = Launch::new(interpreter, &policy, open, options.sandbox)?;
                let first = Zygote::start_anyhow(&launch, 0)?;
                Ok((launch, first))
            })?;
        let mut protections = sandbox_protections(&first);
        options.sandbox.check(&protections)?;
        protections.push(gate_protection(options.policy));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let n_workers = if options.workers == 0 { cores } else { options.workers };
        let mut slots: Vec<Slot> = (0..n_workers).map(|_| Slot::default()).collect();
        if let Some(slot) = slots.first_mut() {
            slot.adopt(first);
        }
        let gate = (options.policy == Policy::Strict).then_some(policy);
        Ok(Self { launch, gate, slots: Mutex::new(slots), protections })
    }
}

impl Executor for CpythonExecutor {
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        let mut slots = pool::lock(&self.slots, context)?;
        let total = jobs.len() as u64;
        let work = |slot: &mut Slot, index: usize| match jobs.get(index) {
            Some(job) => slot.run(job, &self.launch, self.gate.as_ref(), context),
            None => Err(PluginError::new(ErrorCode::Internal, "job index out of range")),
        };
        pool::run_in_order(&mut slots, jobs.len(), work, |done| {
            context.progress(done as u64, total)
        })
    }

    fn protections(&self) -> Vec<Protection> {
        self.protections.clone()
    }
}

fn sandbox_protections(zygote: &Zygote) -> Vec<Protection> {
    let mut protections = zygote.protections();
    protections.push(protection(
        "limits",
        true,
        "wall time and processor time are supervised from outside; address space, answer size and open files are limited",
    ));
    let is_fixed = zygote.process().has_fixed_addresses();
    protections.push(protection(
        "determinism",
        is_fixed,
        if is_fixed {
            "hash seed and addresses are fixed, clocks stand still, random numbers start from a fixed seed"
        } else {
            "the machine refused fixed addresses; hash seed, clocks and random numbers are fixed"
        },
    ));
    protections
}

fn gate_protection(policy: Policy) -> Protection {
    let is_strict = policy == Policy::Strict;
    let detail = if is_strict {
        "modules and names are checked before a program runs"
    } else {
        "option policy = open"
    };
    protection("static-gate", is_strict, detail)
}

fn protection(name: &str, in_force: bool, detail: &str) -> Protection {
    Protection { name: name.to_owned(), in_force, detail: detail.to_owned() }
}

azr_plugin::export! { entry: azr_executor_cpython, executors: [CpythonExecutor] }
