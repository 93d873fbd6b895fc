//! Runs the programs of many answers in one call of an executor.

use std::collections::BTreeMap;

use azr_plugin::{
    CallContext, ErrorCode, Executor, Job, JobReport, Limits, Outcome, PluginError, Purpose,
};

use crate::{Result, Verdict};

/// Limits on one job's call: far above what any right program needs, and EvalPlus' four times what the reference needs
/// (`reference.rs` keeps calls short enough for that).
pub(super) const LIMITS: Limits =
    Limits { wall_ms: 40_000, cpu_ms: 10_000, memory_bytes: 1 << 30, output_bytes: 256 << 10 };

/// The jobs of a wave while it is put together. A program is sent once, and each of its calls is.
#[derive(Debug, Default)]
pub(super) struct Wave {
    jobs: Vec<Job>,
    indices: BTreeMap<String, usize>,
    calls: Vec<BTreeMap<String, usize>>,
    /// The number of answers that each job decides.
    n_decided: Vec<u64>,
}

/// Where the outcomes of some calls of a program will be found.
#[derive(Debug)]
pub(super) struct Ticket {
    job: usize,
    calls: Vec<usize>,
}

impl Wave {
    /// Adds calls of a program, which decide an answer. `calls` are canonical texts of arguments.
    pub(super) fn add<'a>(
        &mut self,
        program: String,
        calls: impl IntoIterator<Item = &'a String>,
    ) -> Ticket {
        let job = *self.indices.entry(program).or_insert_with_key(|program| {
            self.jobs.push(job(program.clone(), Purpose::Check, LIMITS));
            self.calls.push(BTreeMap::new());
            self.n_decided.push(0);
            self.jobs.len() - 1
        });
        self.n_decided[job] += 1;
        let (known, sent) = (&mut self.calls[job], &mut self.jobs[job].calls);
        let index_of = |call: &String| {
            *known.entry(call.clone()).or_insert_with(|| {
                sent.push(call.clone());
                sent.len() - 1
            })
        };
        Ticket { job, calls: calls.into_iter().map(index_of).collect() }
    }

    /// Runs all of it. `context` is told of `n_answers` answers, those without a program included.
    ///
    /// # Errors
    /// The executor failed, or the context was cancelled.
    pub(super) fn run(
        &self,
        n_answers: usize,
        executor: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<Vec<JobReport>> {
        let total = n_answers as u64;
        let mut done = total.saturating_sub(self.n_decided.iter().sum());
        let mut done_after = vec![done];
        for n_decided in &self.n_decided {
            done += n_decided;
            done_after.push(done);
        }
        let counted = Counted { context, done_after, total };
        counted.progress(0, 0);
        run(&self.jobs, executor, &counted)
    }
}

impl Ticket {
    /// The outcomes of the calls, in order.
    pub(super) fn outcomes<'a>(
        &self,
        reports: &'a [JobReport],
    ) -> impl Iterator<Item = &'a Outcome> {
        let outcomes = reports.get(self.job).map_or(&[][..], |report| &report.outcomes);
        self.calls.iter().filter_map(|call| outcomes.get(*call))
    }
}

/// A job without calls.
pub(super) fn job(program: String, purpose: Purpose, limits: Limits) -> Job {
    Job { program, calls: Vec::new(), purpose, limits, pinned: None }
}

/// Reports on `jobs`, checked for their number.
///
/// # Errors
/// The executor failed, or the context was cancelled.
pub(super) fn run(
    jobs: &[Job],
    executor: &dyn Executor,
    context: &dyn CallContext,
) -> Result<Vec<JobReport>> {
    if context.is_cancelled() {
        return Err(PluginError::new(ErrorCode::Cancelled, "cancelled").into());
    }
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let reports = executor.run(jobs, context)?;
    let fits = |(report, job): (&JobReport, &Job)| report.outcomes.len() == job.calls.len();
    if reports.len() != jobs.len() || !reports.iter().zip(jobs).all(fits) {
        let message = "the executor left out outcomes";
        return Err(PluginError::new(ErrorCode::Internal, message)
            .with_hint("choose another executor and report this to the author of this one")
            .into());
    }
    Ok(reports)
}

/// A right answer.
pub(super) const OK: &str = "ok";
/// An answer with another value.
pub(super) const WRONG: &str = "wrong";
/// Nothing in the response could be taken for an answer.
pub(super) const NO_ANSWER: &str = "no_answer";

/// Why an outcome is no value.
pub(super) fn failure(outcome: &Outcome) -> &'static str {
    use azr_plugin::LimitKind::{Cpu, Depth, Memory, Output, Wall};
    match outcome {
        Outcome::Value(_) | Outcome::NonValue(_) => "no_plain_value",
        Outcome::Exception(_) => "exception",
        Outcome::Limit(Wall | Cpu) => "time_limit",
        Outcome::Limit(Memory) => "memory_limit",
        Outcome::Limit(Output) => "output_limit",
        Outcome::Limit(Depth) => "depth_limit",
        Outcome::Nondeterministic => "nondeterministic",
        Outcome::Refused(_) => "refused",
        Outcome::Unsupported(_) => "unsupported",
        Outcome::Crashed(_) => "crashed",
    }
}

/// A verdict with its reason; right if the reason is [`OK`].
pub(super) fn verdict(reason: &str, answer: Option<String>) -> Verdict {
    Verdict { is_right: reason == OK, reason: reason.to_owned(), answer }
}

/// Turns an executor's count of jobs into one of answers.
struct Counted<'a> {
    context: &'a dyn CallContext,
    /// What is done after this many jobs.
    done_after: Vec<u64>,
    total: u64,
}

impl CallContext for Counted<'_> {
    fn progress(&self, done: u64, _: u64) {
        let n_jobs = usize::try_from(done).unwrap_or(usize::MAX).min(self.done_after.len() - 1);
        self.context.progress(self.done_after[n_jobs], self.total);
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}
