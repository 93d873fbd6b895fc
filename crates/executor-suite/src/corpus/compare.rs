//! Whether two executors agree on the corpus.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};

use azr_executor::Value;
use azr_executor::equality::agree;
use azr_plugin::{Executor, Job, Limits, Outcome, Purpose, Quiet, Result};

use super::{Triplet, triplets};

/// A triplet that two executors disagree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The program and its call.
    pub triplet: Triplet,
    /// What the reference made of it.
    pub reference: Outcome,
    /// What the candidate made of it.
    pub candidate: Outcome,
}

/// How two executors compare.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Number of programs.
    pub n: usize,
    /// Values and failures that are the same: values up to the rounding of floats, failures by their kind.
    pub n_equal: usize,
    /// Programs that the candidate says it cannot express.
    pub n_unsupported: usize,
    /// Programs that have no one outcome to compare with.
    pub n_unsettled: usize,
    /// Both name a value, and not the same one.
    pub wrong: Vec<Difference>,
    /// Other outcomes that differ.
    pub other: Vec<Difference>,
    /// How often the reference came to each kind of outcome.
    pub kinds: BTreeMap<&'static str, usize>,
}

/// Runs `n` programs of the corpus in both executors: in the reference as for establishing gold values, in the
/// candidate for `purpose`. Where the candidate only checks, what the reference finds nondeterministic is left out.
///
/// # Errors
/// When an executor cannot run the batch.
pub fn compare(
    reference: &dyn Executor,
    candidate: &dyn Executor,
    purpose: Purpose,
    seed: u64,
    n: usize,
) -> Result<Report> {
    let triplets = triplets(seed, n);
    let jobs = |purpose| triplets.iter().map(|triplet| job(triplet, purpose)).collect::<Vec<_>>();
    let left = reference.run(&jobs(Purpose::Gold), &Quiet)?;
    let right = candidate.run(&jobs(purpose), &Quiet)?;
    let mut report = Report { n: triplets.len(), ..Report::default() };
    for ((triplet, left), right) in triplets.into_iter().zip(left).zip(right) {
        let none = || Outcome::Crashed("no outcome".to_owned());
        let reference = left.outcomes.into_iter().next().unwrap_or_else(none);
        let candidate = right.outcomes.into_iter().next().unwrap_or_else(none);
        *report.kinds.entry(kind(&reference)).or_default() += 1;
        if purpose == Purpose::Check && reference == Outcome::Nondeterministic {
            report.n_unsettled += 1;
            continue;
        }
        if same(&reference, &candidate) {
            report.n_equal += 1;
            continue;
        }
        if matches!(candidate, Outcome::Unsupported(_)) {
            report.n_unsupported += 1;
            continue;
        }
        let differs = matches!((&reference, &candidate), (Outcome::Value(_), Outcome::Value(_)));
        let list = if differs { &mut report.wrong } else { &mut report.other };
        list.push(Difference { triplet, reference, candidate });
    }
    Ok(report)
}

fn job(triplet: &Triplet, purpose: Purpose) -> Job {
    Job {
        program: triplet.program.clone(),
        calls: vec![triplet.call.clone()],
        purpose,
        limits: Limits::default(),
        pinned: None,
    }
}

fn same(left: &Outcome, right: &Outcome) -> bool {
    let kind: fn(&Outcome) -> Discriminant<Outcome> = discriminant;
    match (left, right) {
        (Outcome::Value(left), Outcome::Value(right)) => {
            let values = (Value::from_canonical(left), Value::from_canonical(right));
            matches!(values, (Ok(left), Ok(right)) if agree(&left, &right))
        }
        _ => kind(left) == kind(right),
    }
}

/// The kind of an outcome, for counting.
fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Value(_) => "value",
        Outcome::NonValue(_) => "nonvalue",
        Outcome::Exception(_) => "exception",
        Outcome::Limit(_) => "limit",
        Outcome::Nondeterministic => "nondeterministic",
        Outcome::Refused(_) => "refused",
        Outcome::Unsupported(_) => "unsupported",
        Outcome::Crashed(_) => "crashed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use azr_plugin::{CallContext, JobReport, LimitKind, Protection};

    /// Answers every job with one outcome.
    struct Always(Outcome);

    impl Executor for Always {
        fn run(&self, jobs: &[Job], _context: &dyn CallContext) -> Result<Vec<JobReport>> {
            let report =
                JobReport { outcomes: vec![self.0.clone()], executor: "always".to_owned() };
            Ok(vec![report; jobs.len()])
        }

        fn protections(&self) -> Vec<Protection> {
            Vec::new()
        }
    }

    #[test]
    fn outcomes_are_counted_by_what_they_mean() {
        let value = |text: &str| Always(Outcome::Value(text.to_owned()));
        let run =
            |left: &Always, right: &Always| compare(left, right, Purpose::Check, 0, 3).unwrap();
        let same = run(&value("[0.30000000000000004]"), &value("[0.3]"));
        assert_eq!((same.n, same.n_equal, same.kinds["value"]), (3, 3, 3));
        assert_eq!(run(&value("1"), &value("1.0")).wrong.len(), 3);
        let error = |name: &str| Always(Outcome::Exception(name.to_owned()));
        assert_eq!(run(&error("KeyError"), &error("ValueError")).n_equal, 3);
        assert_eq!(run(&value("1"), &Always(Outcome::Limit(LimitKind::Cpu))).other.len(), 3);
        assert_eq!(run(&Always(Outcome::Nondeterministic), &value("1")).n_unsettled, 3);
        assert_eq!(
            run(&value("1"), &Always(Outcome::Unsupported("yield".into()))).n_unsupported,
            3
        );
    }
}
