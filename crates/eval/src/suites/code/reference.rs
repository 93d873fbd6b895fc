//! What the reference solution of a problem returns: the values that answers are compared with.
//!
//! They are found once, in the sandbox, before the first answer is graded; no process that runs a model's program ever
//! holds them. Batches that exceed a limit are taken apart until they do not; an input whose own value exceeds one (a text of
//! megabytes, an integer of thousands of digits) is left out, as in EvalPlus' data sets without extreme inputs.

use azr_executor::Value;
use azr_plugin::{
    CallContext, ErrorCode, Executor, Job, JobReport, Limits, Outcome, PluginError, Purpose,
};

use super::batch::{self, Batch};
use super::oracle::Rule;
use super::problem::Problem;
use super::response::Program;
use super::wave::{self, LIMITS};
use crate::Result;

/// A quarter of the time and three quarters of the room that answers have: one that is right needs no more.
const REFERENCE_LIMITS: Limits =
    Limits { cpu_ms: LIMITS.cpu_ms / 4, output_bytes: LIMITS.output_bytes / 4 * 3, ..LIMITS };

/// How many parts a batch is taken into that exceeds a limit: few parts run often, many parts stay many batches.
const N_PARTS: usize = 8;

/// What is expected of a problem's programs.
#[derive(Debug, Default)]
pub(super) struct Reference {
    /// In the order of the inputs.
    pub(super) batches: Vec<Expected>,
    /// Positions of the inputs whose value exceeds a limit.
    pub(super) left_out: Vec<usize>,
}

/// A batch of inputs with the values that are expected for it.
#[derive(Debug)]
pub(super) struct Expected {
    /// Canonical text of the call.
    pub(super) call: String,
    /// Positions of inputs, each with its value.
    pub(super) values: Vec<(usize, Value)>,
}

/// Runs the reference solutions of `problems`, together.
///
/// # Errors
/// The executor failed or refuses a solution, or a solution gives no value at all: the problem is named.
pub(super) fn establish(
    problems: &[&Problem],
    executor: &dyn Executor,
    context: &dyn CallContext,
) -> Result<Vec<Reference>> {
    let mut searches =
        problems.iter().map(|problem| Search::of(problem)).collect::<Result<Vec<_>>>()?;
    loop {
        let mut open: Vec<_> =
            searches.iter_mut().filter(|search| !search.pending.is_empty()).collect();
        if open.is_empty() {
            return searches.into_iter().map(Search::finish).collect();
        }
        let jobs: Vec<Job> = open.iter().map(|search| search.job()).collect();
        let reports = wave::run(&jobs, executor, &Unseen(context))?;
        for (search, report) in open.iter_mut().zip(reports) {
            search.take(report)?;
        }
    }
}

/// The values that `outcome` holds for a batch of `n_inputs`, if it does.
pub(super) fn values(outcome: &Outcome, n_inputs: usize) -> Option<Vec<Value>> {
    match outcome {
        Outcome::Value(text) => match Value::from_canonical(text) {
            Ok(Value::List(values)) if values.len() == n_inputs => Some(values),
            _ => None,
        },
        _ => None,
    }
}

/// The search for the values of one problem.
struct Search<'a> {
    problem: &'a Problem,
    program: String,
    /// What is run next.
    pending: Vec<Batch>,
    found: Reference,
    /// What became of the first input that was left out.
    failure: Option<Outcome>,
}

impl<'a> Search<'a> {
    fn of(problem: &'a Problem) -> Result<Self> {
        let source = Program::select(&problem.reference(), &problem.entry_point);
        let source = source.ok_or_else(|| broken(problem, "does not define its function"))?;
        let program = source.for_batches(problem);
        let pending = batch::plan(&problem.inputs);
        Ok(Self { problem, program, pending, found: Reference::default(), failure: None })
    }

    fn job(&self) -> Job {
        // The two runs of a gold job differ in the order of sets, which does not count there.
        let is_ordered = self.problem.oracle.rule != Rule::SameSet;
        let purpose = if is_ordered { Purpose::Gold } else { Purpose::Check };
        let calls = self.pending.iter().map(|batch| self.call(batch)).collect();
        Job { calls, ..wave::job(self.program.clone(), purpose, REFERENCE_LIMITS) }
    }

    fn call(&self, batch: &Batch) -> String {
        batch::call(batch.iter().filter_map(|position| self.problem.inputs.get(*position)))
    }

    fn take(&mut self, report: JobReport) -> Result<()> {
        for (batch, outcome) in std::mem::take(&mut self.pending).into_iter().zip(report.outcomes) {
            if let Outcome::Refused(reason) = &outcome
                && reason != "arguments"
            {
                let how = format!("is refused by the executor ({reason})");
                return Err(broken(self.problem, &how));
            }
            match values(&outcome, batch.len()) {
                Some(values) => {
                    let call = self.call(&batch);
                    let values = batch.into_iter().zip(values).collect();
                    self.found.batches.push(Expected { call, values });
                }
                None if batch.len() > 1 => {
                    let parts = batch.chunks(batch.len().div_ceil(N_PARTS));
                    self.pending.extend(parts.map(<[usize]>::to_vec));
                }
                None => {
                    self.found.left_out.extend(batch);
                    self.failure.get_or_insert(outcome);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Reference> {
        if let (true, Some(failure)) = (self.found.batches.is_empty(), &self.failure) {
            let how = format!("gives no value ({})", wave::failure(failure));
            return Err(broken(self.problem, &how));
        }
        self.found.batches.sort_by_key(|batch| batch.values.first().map(|(position, _)| *position));
        self.found.left_out.sort_unstable();
        Ok(self.found)
    }
}

fn broken(problem: &Problem, how: &str) -> crate::EvalError {
    let message = format!("the reference solution of `{}` {how}", problem.id);
    PluginError::new(ErrorCode::InvalidInput, message)
        .with_hint("benchmarks need an executor with option `policy = \"open\"`, and CPython")
        .into()
}

/// Cancels as the caller does, and counts nothing: progress counts answers.
struct Unseen<'a>(&'a dyn CallContext);

impl CallContext for Unseen<'_> {
    fn progress(&self, _: u64, _: u64) {}

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}
