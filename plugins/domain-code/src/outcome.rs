//! Runs a wave's jobs in one call and reads what came of them.

use azr_executor::Value;
use azr_plugin::{CallContext, ErrorCode, Executor, Job, JobReport, Outcome, PluginError, Result};

use crate::reason::Reason;

/// Jobs with the number of proposals or answers that each of them decides.
#[derive(Debug, Default)]
pub(crate) struct Wave {
    pub(crate) jobs: Vec<Job>,
    pub(crate) n_decided: Vec<u64>,
}

impl Wave {
    /// Adds a job and gives its index.
    pub(crate) fn push(&mut self, job: Job) -> usize {
        self.jobs.push(job);
        self.n_decided.push(0);
        self.jobs.len() - 1
    }

    /// Runs all jobs at once. `context` is told of `total` proposals or answers, those without a job included.
    pub(crate) fn run(
        &self,
        executor: &dyn Executor,
        total: u64,
        context: &dyn CallContext,
    ) -> Result<Vec<JobReport>> {
        if context.is_cancelled() {
            return Err(PluginError::new(ErrorCode::Cancelled, "the code domain was told to stop"));
        }
        let mut done = vec![total.saturating_sub(self.n_decided.iter().sum())];
        for n_decided in &self.n_decided {
            done.push(done[done.len() - 1] + n_decided);
        }
        let counted = Counted { context, done, total };
        counted.progress(0, 0);
        if self.jobs.is_empty() {
            return Ok(Vec::new());
        }
        let reports = executor.run(&self.jobs, &counted)?;
        let fits = |(report, job): (&JobReport, &Job)| report.outcomes.len() == job.calls.len();
        if reports.len() != self.jobs.len() || !reports.iter().zip(&self.jobs).all(fits) {
            return Err(PluginError::new(
                ErrorCode::Internal,
                format!(
                    "the executor gave {} reports for {} jobs, or too few outcomes",
                    reports.len(),
                    self.jobs.len()
                ),
            )
            .with_hint("choose another executor and report this to the author of this one"));
        }
        Ok(reports)
    }
}

/// The returned value, or why there is none.
pub(crate) fn value_of(outcome: &Outcome) -> std::result::Result<Value, Reason> {
    match outcome {
        Outcome::Value(canonical) => Value::from_canonical(canonical).map_err(|_| Reason::NonValue),
        Outcome::NonValue(_) => Err(Reason::NonValue),
        Outcome::Exception(_) => Err(Reason::Exception),
        Outcome::Limit(_) => Err(Reason::Limit),
        Outcome::Nondeterministic => Err(Reason::Nondeterministic),
        Outcome::Refused(_) => Err(Reason::Refused),
        Outcome::Unsupported(_) => Err(Reason::Unsupported),
        Outcome::Crashed(_) => Err(Reason::Crashed),
    }
}

/// Turns an executor's count of jobs into the domain's count of proposals or answers.
struct Counted<'a> {
    context: &'a dyn CallContext,
    /// What is done after this many jobs.
    done: Vec<u64>,
    total: u64,
}

impl CallContext for Counted<'_> {
    fn progress(&self, done: u64, _total: u64) {
        let n_jobs = usize::try_from(done).unwrap_or(usize::MAX).min(self.done.len() - 1);
        self.context.progress(self.done[n_jobs], self.total);
    }

    fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}
