//! Running untrusted programs.
//!
//! Values cross this boundary as *canonical text*: the encoding of `azr-executor`'s value type.
//! Neither side ever evaluates it.

use crate::{CallContext, Result};

/// Limits on one call of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time in milliseconds.
    pub wall_ms: u64,
    /// Processor time in milliseconds.
    pub cpu_ms: u64,
    /// Address space in bytes.
    pub memory_bytes: u64,
    /// Longest encoded result in bytes.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wall_ms: 5_000, cpu_ms: 3_000, memory_bytes: 512 << 20, output_bytes: 256 << 10 }
    }
}

/// Why a job is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To check an answer: one run decides.
    Check,
    /// To establish gold values: at least two fresh processes with different hash seeds must agree,
    /// else the outcome is [`Outcome::Nondeterministic`].
    Gold,
}

/// One program and the calls of its function `f`.
///
/// The calls are independent of each other: each starts from a fresh state of the program, and nothing that a
/// call does changes what another one returns. So calls of one program may share a job whoever asked for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Python source text that defines a top-level function `f`.
    pub program: String,
    /// Canonical text of the argument list of each call.
    pub calls: Vec<String>,
    /// Why it is run.
    pub purpose: Purpose,
    /// Limits on each call.
    pub limits: Limits,
    /// Name of the executor that established this task's gold values, if any: only it may answer, or one that
    /// agreed with it on them.
    pub pinned: Option<String>,
}

/// Which limit a call ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Wall-clock time.
    Wall,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Size of the result.
    Output,
    /// Recursion or nesting depth.
    Depth,
}

/// What one call came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A plain value, as canonical text.
    Value(String),
    /// A result that is no plain value; the type's name.
    NonValue(String),
    /// The program raised; the exception's class name only.
    Exception(String),
    /// A limit was hit.
    Limit(LimitKind),
    /// Runs disagreed (only for [`Purpose::Gold`]).
    Nondeterministic,
    /// The program was refused before it ran; the reason.
    Refused(String),
    /// The executor cannot express the program; the feature.
    Unsupported(String),
    /// The process died; the signal's or exit status's description.
    Crashed(String),
}

/// What one job came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// One outcome per call, in call order.
    pub outcomes: Vec<Outcome>,
    /// Name of the executor whose outcomes these are, for [`Job::pinned`].
    pub executor: String,
}

/// A protection and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// Short name, for example `seccomp`.
    pub name: String,
    /// Whether programs run under it on this machine.
    pub in_force: bool,
    /// What it does, or why it is not in force.
    pub detail: String,
}

/// Runs untrusted programs in processes that hold nothing of the trainer's.
pub trait Executor: Send + Sync {
    /// Reports in job order. What comes of a job depends neither on how jobs are spread over workers nor on what else is
    /// in the call. Progress counts jobs.
    fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>>;

    /// What protects the machine from the programs.
    fn protections(&self) -> Vec<Protection>;
}
