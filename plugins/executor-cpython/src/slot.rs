//! One worker: a pair of zygotes that serves one job at a time.

use azr_executor::pool;
use azr_executor::worker::WorkerError;
use azr_executor::{Arguments, ImportPolicy, Program};
use azr_plugin::{
    CallContext, Engine, Job, JobReport, LimitKind, Limits, Outcome, Purpose, Result,
};

use crate::zygote::{Launch, Zygote};
use crate::{CpythonExecutor, wire};

/// Zygotes by hash seed; each is started when it is first needed and again after it failed.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    zygotes: [Option<Zygote>; 2],
}

/// What a job asks to run, after everything was checked that can be checked here.
struct Work<'a> {
    source: &'a str,
    limits: &'a Limits,
    launch: &'a Launch,
    context: &'a dyn CallContext,
}

impl Slot {
    /// Takes a zygote with hash seed 0 that was started elsewhere.
    pub(crate) fn adopt(&mut self, zygote: Zygote) {
        let [first, _] = &mut self.zygotes;
        *first = Some(zygote);
    }

    /// Runs one job.
    ///
    /// # Errors
    /// When the context is cancelled or a zygote cannot be started.
    pub(crate) fn run(
        &mut self,
        job: &Job,
        launch: &Launch,
        gate: Option<&ImportPolicy>,
        context: &dyn CallContext,
    ) -> Result<JobReport> {
        if context.is_cancelled() {
            return Err(pool::cancelled());
        }
        let source = match accepted_source(job, gate) {
            Ok(source) => source,
            Err(reason) => {
                return Ok(report(vec![Outcome::Refused(reason.to_owned()); job.calls.len()]));
            }
        };
        let mut outcomes = vec![Outcome::Refused("arguments".to_owned()); job.calls.len()];
        let (indices, calls): (Vec<usize>, Vec<String>) = job
            .calls
            .iter()
            .enumerate()
            .filter_map(|(index, call)| {
                Some((index, wire::arguments(&Arguments::from_canonical(call).ok()?)))
            })
            .unzip();
        let work = Work { source: &source, limits: &job.limits, launch, context };
        let mut results = self.run_calls(0, &work, &calls)?;
        if job.purpose == Purpose::Gold {
            results = self.confirm(&work, &calls, results)?;
        }
        for (index, result) in indices.into_iter().zip(results) {
            if let Some(outcome) = outcomes.get_mut(index) {
                *outcome = result;
            }
        }
        Ok(report(outcomes))
    }

    /// Runs the calls that gave a value once more, with the other hash seed.
    fn confirm(
        &mut self,
        work: &Work<'_>,
        calls: &[String],
        first: Vec<Outcome>,
    ) -> Result<Vec<Outcome>> {
        let is_value = |outcome: &Outcome| matches!(outcome, Outcome::Value(_));
        let again: Vec<String> = calls
            .iter()
            .zip(&first)
            .filter(|(_, outcome)| is_value(outcome))
            .map(|(call, _)| call.clone())
            .collect();
        let mut second = self.run_calls(1, work, &again)?.into_iter();
        // Canonical texts are equal exactly where values are the same to the bit.
        let agreed = |first: Outcome| {
            if !is_value(&first) {
                return first;
            }
            match second.next() {
                Some(second) if second == first => first,
                // No other result, but none at all.
                Some(second @ (Outcome::Limit(_) | Outcome::Crashed(_))) => second,
                _ => Outcome::Nondeterministic,
            }
        };
        Ok(first.into_iter().map(agreed).collect())
    }

    /// One outcome per call from the zygote with this hash seed. A zygote that is late costs the call that it was at. One
    /// that is lost (programs cannot end it, but the machine may) does not: the call is run again, once.
    fn run_calls(
        &mut self,
        hash_seed: u32,
        work: &Work<'_>,
        calls: &[String],
    ) -> Result<Vec<Outcome>> {
        let [first, second] = &mut self.zygotes;
        let place = if hash_seed == 0 { first } else { second };
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut lost_at = None;
        while let Some(rest) = calls.get(outcomes.len()..).filter(|rest| !rest.is_empty()) {
            // Taken out, so that an error leaves no zygote behind whose pipes hold half an answer.
            let mut zygote = match place.take() {
                Some(zygote) => zygote,
                // One that starts may be lost as well.
                None => Zygote::start(work.launch, hash_seed)
                    .or_else(|_| Zygote::start(work.launch, hash_seed))?,
            };
            let batch = zygote.run(work.source, rest, work.limits, work.context)?;
            outcomes.extend(batch.outcomes);
            match batch.failure {
                None => *place = Some(zygote),
                Some(WorkerError::Late) => outcomes.push(Outcome::Limit(LimitKind::Wall)),
                Some(error) if lost_at == Some(outcomes.len()) => {
                    outcomes.push(Outcome::Crashed(error.to_string()));
                }
                Some(_) => lost_at = Some(outcomes.len()),
            }
        }
        Ok(outcomes)
    }
}

/// The program as it will be run, or why it is refused.
fn accepted_source(
    job: &Job,
    gate: Option<&ImportPolicy>,
) -> std::result::Result<String, &'static str> {
    if job.pinned.as_deref().is_some_and(|name| name != CpythonExecutor::NAME) {
        return Err("pinned");
    }
    match gate {
        Some(policy) => Program::parse(&job.program, policy)
            .map(|program| program.source)
            .map_err(|error| error.reason()),
        None if job.program.len() > azr_executor::program::MAX_SOURCE_BYTES => Err("too_large"),
        None => Ok(job.program.clone()),
    }
}

fn report(outcomes: Vec<Outcome>) -> JobReport {
    JobReport { outcomes, executor: CpythonExecutor::NAME.to_owned() }
}
