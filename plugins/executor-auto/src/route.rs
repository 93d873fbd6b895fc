//! Which call runs where, and what the two answers come to.

use azr_executor::{Value, equality};
use azr_plugin::{
    CallContext, ErrorCode, Job, JobReport, Limits, Outcome, PluginError, Purpose, Result,
};

use crate::Part;
use crate::progress::Half;

/// Both executors at work on one call of `run`.
pub(crate) struct Route<'a> {
    pub(crate) embedded: &'a Part,
    pub(crate) full: &'a Part,
}

/// What is known of a job after the embedded wave.
struct Pending<'a> {
    job: &'a Job,
    /// One per call; `None` where the embedded executor was not asked.
    embedded: Vec<Option<Outcome>>,
}

impl Route<'_> {
    /// Every job goes through the embedded executor unless it is pinned to the full one; then one wave of the full
    /// executor takes all calls that need it.
    pub(crate) fn run(&self, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<JobReport>> {
        let half = |is_second| Half { context, n_jobs: jobs.len() as u64, is_second };
        let pending = self.embedded_wave(jobs, &half(false))?;
        let second: Vec<Job> =
            pending.iter().filter_map(|pending| self.full_job(pending)).collect();
        let mut outcomes = run_all(self.full, &second, &half(true))?.into_iter();
        context.progress(jobs.len() as u64, jobs.len() as u64);
        let report = |pending: Pending<'_>| {
            let full = if pending.needs_full() { outcomes.next() } else { None };
            self.report(pending, full.unwrap_or_default())
        };
        Ok(pending.into_iter().map(report).collect())
    }

    fn embedded_wave<'j>(
        &self,
        jobs: &'j [Job],
        context: &dyn CallContext,
    ) -> Result<Vec<Pending<'j>>> {
        let is_first = |job: &&Job| job.pinned.as_ref().is_none_or(|name| *name != self.full.name);
        let wave: Vec<Job> = jobs.iter().filter(is_first).map(embedded_job).collect();
        let mut outcomes = run_all(self.embedded, &wave, context)?.into_iter();
        let pending = |job| {
            let answered = if is_first(&job) { outcomes.next() } else { None };
            let embedded = match answered {
                Some(outcomes) => outcomes.into_iter().map(Some).collect(),
                None => vec![None; job.calls.len()],
            };
            Pending { job, embedded }
        };
        Ok(jobs.iter().map(pending).collect())
    }

    /// The calls of a job that the full executor has to run, in call order.
    fn full_job(&self, pending: &Pending<'_>) -> Option<Job> {
        let calls = pending.job.calls.iter().zip(&pending.embedded);
        let needed = calls.filter(|(_, outcome)| pending.is_needed(outcome.as_ref()));
        let calls: Vec<String> = needed.map(|(call, _)| call.clone()).collect();
        let pinned = pending.job.pinned.as_ref().map(|_| self.full.name.clone());
        (!calls.is_empty()).then(|| Job { calls, pinned, ..pending.job.clone() })
    }

    fn report(&self, pending: Pending<'_>, full: Vec<Outcome>) -> JobReport {
        let needed: Vec<bool> =
            pending.embedded.iter().map(|outcome| pending.is_needed(outcome.as_ref())).collect();
        let mut full = full.into_iter();
        let mut is_embedded = true;
        let mut outcomes = Vec::with_capacity(needed.len());
        for (embedded, needed) in pending.embedded.into_iter().zip(needed) {
            let decided = if needed { full.next() } else { None };
            is_embedded &= match (&embedded, &decided) {
                (Some(embedded), Some(full)) => agree(embedded, full),
                (_, decided) => decided.is_none(),
            };
            let missing = || Outcome::Crashed("no outcome".to_owned());
            outcomes.push(decided.or(embedded).unwrap_or_else(missing));
        }
        let part = if is_embedded { self.embedded } else { self.full };
        JobReport { outcomes, executor: part.name.clone() }
    }
}

impl Pending<'_> {
    fn needs_full(&self) -> bool {
        self.embedded.iter().any(|outcome| self.is_needed(outcome.as_ref()))
    }

    /// Whether the full executor must run a call. A program that the gate refuses is refused there too; limits say
    /// nothing, because the embedded interpreter is slow at other things than the full one.
    fn is_needed(&self, embedded: Option<&Outcome>) -> bool {
        match embedded {
            Some(Outcome::Refused(_)) => false,
            Some(Outcome::Value(_)) => self.job.purpose == Purpose::Gold,
            _ => true,
        }
    }
}

/// A job for the embedded executor. One run shows whether it agrees on a gold value, and a program that needs long is
/// soon the full executor's.
fn embedded_job(job: &Job) -> Job {
    let cpu_ms = job.limits.cpu_ms.div_ceil(4);
    let limits = Limits { cpu_ms, ..job.limits };
    Job { purpose: Purpose::Check, limits, ..job.clone() }
}

/// The outcomes of every job, checked for their number.
fn run_all(part: &Part, jobs: &[Job], context: &dyn CallContext) -> Result<Vec<Vec<Outcome>>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let reports = part.executor.run(jobs, context)?;
    let is_whole = |(job, report): (&Job, &JobReport)| job.calls.len() == report.outcomes.len();
    if reports.len() != jobs.len() || !jobs.iter().zip(&reports).all(is_whole) {
        let message = format!("executor `{}` left out outcomes", part.name);
        return Err(PluginError::new(ErrorCode::Internal, message)
            .with_hint("this is a defect of that executor: report it to its author"));
    }
    Ok(reports.into_iter().map(|report| report.outcomes).collect())
}

/// Whether both executors came to the same value.
fn agree(left: &Outcome, right: &Outcome) -> bool {
    let value = |outcome: &Outcome| match outcome {
        Outcome::Value(text) => Value::from_canonical(text).ok(),
        _ => None,
    };
    matches!((value(left), value(right)), (Some(left), Some(right)) if equality::agree(&left, &right))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use azr_plugin::{Executor, LimitKind, Protection, Quiet};

    use super::*;

    /// Answers a call with what it was taught and notes every job that it saw.
    #[derive(Default)]
    struct Taught {
        answers: BTreeMap<&'static str, Outcome>,
        seen: Mutex<Vec<Job>>,
    }

    impl Executor for Taught {
        fn run(&self, jobs: &[Job], _context: &dyn CallContext) -> Result<Vec<JobReport>> {
            self.seen.lock().unwrap().extend(jobs.iter().cloned());
            let outcomes = |job: &Job| {
                job.calls.iter().map(|call| self.answers[call.as_str()].clone()).collect()
            };
            let report = |job| JobReport { outcomes: outcomes(job), executor: "?".to_owned() };
            Ok(jobs.iter().map(report).collect())
        }

        fn protections(&self) -> Vec<Protection> {
            Vec::new()
        }
    }

    fn value(text: &str) -> Outcome {
        Outcome::Value(text.to_owned())
    }

    fn job(purpose: Purpose, calls: &[&str], pinned: Option<&str>) -> Job {
        Job {
            program: "def f(x): return x".to_owned(),
            calls: calls.iter().map(ToString::to_string).collect(),
            purpose,
            limits: Limits::default(),
            pinned: pinned.map(str::to_owned),
        }
    }

    /// The reports, and the calls that each executor saw.
    fn routed(
        embedded: &[(&'static str, Outcome)],
        full: &[(&'static str, Outcome)],
        jobs: &[Job],
    ) -> (Vec<JobReport>, Vec<String>, Vec<String>) {
        let taught = |answers: &[(&'static str, Outcome)]| {
            Arc::new(Taught { answers: answers.iter().cloned().collect(), ..Taught::default() })
        };
        let (first, second) = (taught(embedded), taught(full));
        let part = |name: &str, executor: &Arc<Taught>| Part {
            name: name.to_owned(),
            executor: executor.clone(),
        };
        let route = Route { embedded: &part("fast", &first), full: &part("slow", &second) };
        let reports = route.run(jobs, &Quiet).unwrap();
        let calls = |taught: &Taught| {
            let seen = taught.seen.lock().unwrap();
            seen.iter().flat_map(|job| job.calls.clone()).collect()
        };
        (reports, calls(&first), calls(&second))
    }

    #[test]
    fn a_value_of_the_embedded_executor_is_enough_for_a_check() {
        let (reports, _, full) =
            routed(&[("1", value("2"))], &[], &[job(Purpose::Check, &["1", "1"], None)]);
        assert_eq!(reports[0].outcomes, [value("2"), value("2")]);
        assert_eq!(reports[0].executor, "fast");
        assert!(full.is_empty());
    }

    #[test]
    fn only_what_has_no_value_goes_on() {
        let embedded = [
            ("1", value("2")),
            ("2", Outcome::Unsupported("yield".to_owned())),
            ("3", Outcome::Exception("TypeError".to_owned())),
            ("4", Outcome::Limit(LimitKind::Cpu)),
            ("5", Outcome::Limit(LimitKind::Wall)),
            ("6", Outcome::Limit(LimitKind::Memory)),
            ("7", Outcome::Crashed("signal 6".to_owned())),
            ("8", Outcome::NonValue("generator".to_owned())),
            ("9", Outcome::Refused("import".to_owned())),
        ];
        let decided = Outcome::Exception("ValueError".to_owned());
        let full: Vec<_> =
            ["2", "3", "4", "5", "6", "7", "8"].map(|call| (call, decided.clone())).into();
        let calls = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let (reports, seen, asked) = routed(&embedded, &full, &[job(Purpose::Check, &calls, None)]);
        assert_eq!(seen, calls);
        assert_eq!(asked, ["2", "3", "4", "5", "6", "7", "8"]);
        let kept = [0, 8].map(|index: usize| reports[0].outcomes[index].clone());
        assert_eq!(kept, [embedded[0].1.clone(), embedded[8].1.clone()]);
        assert_eq!(reports[0].outcomes.iter().filter(|outcome| **outcome == decided).count(), 7);
        assert_eq!(reports[0].executor, "slow");
    }

    #[test]
    fn gold_is_the_full_executors_and_pinned_to_who_was_right() {
        let seen = |embedded: Outcome, full: Outcome| {
            let (reports, ..) =
                routed(&[("1", embedded)], &[("1", full)], &[job(Purpose::Gold, &["1"], None)]);
            (reports[0].outcomes[0].clone(), reports[0].executor.clone())
        };
        let fast = |text: &str| (value(text), "fast".to_owned());
        let slow = |outcome: Outcome| (outcome, "slow".to_owned());
        assert_eq!(seen(value("1"), value("1")), fast("1"));
        assert_eq!(seen(value("0.30000000000000004"), value("0.3")), fast("0.3"));
        assert_eq!(seen(value("[1, 2]"), value("[2, 1]")), slow(value("[2, 1]")));
        assert_eq!(seen(value("1"), value("True")), slow(value("True")));
        let unsupported = Outcome::Unsupported("yield".to_owned());
        assert_eq!(seen(unsupported, value("1")), slow(value("1")));
        assert_eq!(seen(value("1"), Outcome::Nondeterministic), slow(Outcome::Nondeterministic));
        assert_eq!(seen(Outcome::Limit(LimitKind::Cpu), value("1")), slow(value("1")));
    }

    #[test]
    fn one_call_in_disagreement_pins_the_whole_task() {
        let (reports, ..) = routed(
            &[("1", value("1")), ("2", value("2"))],
            &[("1", value("1")), ("2", value("3"))],
            &[job(Purpose::Gold, &["1", "2"], None)],
        );
        assert_eq!(reports[0].outcomes, [value("1"), value("3")]);
        assert_eq!(reports[0].executor, "slow");
    }

    #[test]
    fn pinned_tasks_meet_the_executor_that_was_right() {
        let jobs = [
            job(Purpose::Check, &["1"], Some("slow")),
            job(Purpose::Check, &["2"], Some("fast")),
            job(Purpose::Check, &["3"], None),
        ];
        let (reports, embedded, full) = routed(
            &[("2", value("2")), ("3", Outcome::Unsupported("del".to_owned()))],
            &[("1", value("1")), ("3", value("3"))],
            &jobs,
        );
        assert_eq!(
            (embedded, full),
            (vec!["2".to_owned(), "3".to_owned()], vec!["1".to_owned(), "3".to_owned()])
        );
        let outcomes: Vec<_> = reports.iter().map(|report| report.outcomes[0].clone()).collect();
        assert_eq!(outcomes, [value("1"), value("2"), value("3")]);
    }

    #[test]
    fn a_job_without_calls_has_no_outcomes() {
        let (reports, ..) = routed(&[], &[], &[job(Purpose::Gold, &[], None)]);
        assert!(reports[0].outcomes.is_empty());
    }

    #[test]
    fn progress_runs_once_from_nothing_to_all() {
        struct Seen(Mutex<Vec<u64>>);
        impl CallContext for Seen {
            fn progress(&self, done: u64, total: u64) {
                assert_eq!(total, 10);
                self.0.lock().unwrap().push(done);
            }
            fn is_cancelled(&self) -> bool {
                false
            }
        }
        let seen = Seen(Mutex::default());
        for is_second in [false, true] {
            let half = Half { context: &seen, n_jobs: 10, is_second };
            (0..=4).for_each(|done| half.progress(done, 4));
        }
        assert_eq!(*seen.0.lock().unwrap(), [0, 1, 2, 3, 5, 5, 6, 7, 8, 10]);
    }
}
