//! Runs hostile programs beside honest ones and reports every deviation.

use std::fmt;
use std::time::{Duration, Instant};

use azr_executor::Value;
use azr_executor::equality::answer;
use azr_plugin::{CallContext, Executor, Job, Limits, Outcome, Purpose};

use super::watch::{self, Baseline};
use super::{Expected, Gate, Hostile};

/// Honest programs, their calls and values. They run in one batch with each hostile program.
const HONEST: [(&str, &str, &str); 8] = [
    ("def f(x):\n    return [x, len('ab')]\n", "1", "[1, 2]"),
    ("import math\ndef f(x):\n    return math.sqrt(x)\n", "4", "2.0"),
    ("def f(n):\n    return sum([i * i for i in range(n)])\n", "10", "285"),
    ("def f(text):\n    return ' '.join(sorted(text.split()))\n", "'b a c'", "'a b c'"),
    ("def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\n", "12", "144"),
    ("n = [0]\ndef f(x):\n    n[0] += 1\n    return n[0] + x\n", "1", "2"),
    (
        "def f(d):\n    return {v: k for k, v in d.items()}\n",
        "{'a': 1, 'b': 2}",
        "{1: 'a', 2: 'b'}",
    ),
    ("def f(a, b=2):\n    return (a == b, str(a), repr(b))\n", "2, b='x'", "(False, '2', \"'x'\")"),
];

/// How hostile programs are run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether the executor judges programs on their text.
    pub gate: Gate,
    /// Why the programs are run.
    pub purpose: Purpose,
    /// Limits on each call, of the honest programs too.
    pub limits: Limits,
    /// How much longer than its wall-clock limit a call may take.
    pub grace: Duration,
}

impl Settings {
    /// Short limits, so that endless programs do not take long.
    pub const fn new(gate: Gate) -> Self {
        let limits =
            Limits { wall_ms: 1_000, cpu_ms: 500, memory_bytes: 128 << 20, output_bytes: 16_384 };
        Self { gate, purpose: Purpose::Check, limits, grace: Duration::from_secs(10) }
    }
}

/// A demand that an executor did not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Name of the hostile program.
    pub program: &'static str,
    /// What happened instead.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.program, self.what)
    }
}

/// Runs each program in one batch with eight honest ones; an empty list means that all demands were met.
///
/// The process that calls this becomes the parent of orphaned descendants (Linux), so that a process that
/// slips away from its worker is still found. Nothing else in it may start processes or run programs
/// meanwhile.
pub fn check(executor: &dyn Executor, programs: &[Hostile], settings: &Settings) -> Vec<Failure> {
    let baseline = match Baseline::take(|| warm_up(executor, settings)) {
        Ok(baseline) => baseline,
        Err(what) => return vec![Failure { program: "honest programs", what }],
    };
    let mut failures = Vec::new();
    for program in programs {
        let mut whats = deviations(executor, program, settings);
        whats.extend(baseline.deviations());
        failures.extend(whats.into_iter().map(|what| Failure { program: program.name, what }));
    }
    failures
}

/// Starts all workers.
fn warm_up(executor: &dyn Executor, settings: &Settings) -> Result<(), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for purpose in [Purpose::Check, Purpose::Gold] {
        let jobs: Vec<Job> =
            (0..8 * cores).map(|_| honest_jobs(settings)).fold(Vec::new(), |mut jobs, honest| {
                jobs.extend(honest.into_iter().map(|job| Job { purpose, ..job }));
                jobs
            });
        executor
            .run(&jobs, &Until::after(Duration::from_secs(60)))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn deviations(executor: &dyn Executor, program: &Hostile, settings: &Settings) -> Vec<String> {
    watch::remove_marks();
    let mut jobs = honest_jobs(settings);
    let (place, n_honest) = (jobs.len() / 2, jobs.len());
    let attack = Job {
        program: program.source.to_owned(),
        calls: program.calls.clone(),
        ..job_of(settings)
    };
    jobs.insert(place, attack);
    // Establishing gold values runs each call in two processes.
    let runs_per_call = if settings.purpose == Purpose::Gold { 3 } else { 1 };
    let n_runs = u32::try_from(program.calls.len() * runs_per_call).unwrap_or(u32::MAX);
    let per_run = Duration::from_millis(settings.limits.wall_ms) + settings.grace;
    let allowed = per_run * n_runs + settings.grace;
    let started = Instant::now();
    let reports = match executor.run(&jobs, &Until::after(allowed + Duration::from_secs(30))) {
        Ok(reports) => reports,
        Err(error) => return vec![format!("the batch failed: {error}")],
    };
    let elapsed = started.elapsed();
    let mut whats = Vec::new();
    if elapsed > allowed {
        whats.push(format!("the batch took {elapsed:?}, longer than {allowed:?}"));
    }
    if reports.len() != n_honest + 1 {
        whats.push(format!("{} reports for {} jobs", reports.len(), n_honest + 1));
        return whats;
    }
    let honest = reports.iter().take(place).chain(reports.iter().skip(place + 1));
    for (report, (source, _, value)) in honest.zip(HONEST) {
        if report.outcomes != [Outcome::Value(value.to_owned())] {
            whats.push(format!("the honest program {source:?} came to {:?}", report.outcomes));
        }
    }
    let outcomes = reports.get(place).map(|report| report.outcomes.as_slice()).unwrap_or_default();
    if outcomes.len() != program.calls.len() {
        whats.push(format!("{} outcomes for {} calls", outcomes.len(), program.calls.len()));
    }
    for (expected, outcome) in program.expected.iter().zip(outcomes) {
        let is_value = matches!(outcome, Outcome::Value(_));
        if !expected.allows(outcome, settings.gate) {
            whats.push(format!("{outcome:?} is not allowed"));
        } else if is_value && !program.settles && settings.purpose == Purpose::Gold {
            whats.push(format!("{outcome:?} was taken for a gold value"));
        } else if pays(program, expected, outcome) {
            whats.push(format!("{outcome:?} would be paid for"));
        } else if !is_harmless(outcome) {
            whats.push(format!("{outcome:?} carries more than a name"));
        }
    }
    whats.extend(unequal_calls(program, outcomes));
    whats
}

/// Calls that are the same and came to different values.
fn unequal_calls(program: &Hostile, outcomes: &[Outcome]) -> Vec<String> {
    let mut whats = Vec::new();
    for (index, (call, outcome)) in program.calls.iter().zip(outcomes).enumerate() {
        let earlier =
            program.calls.iter().zip(outcomes).take(index).find(|(other, _)| *other == call);
        if let (Some((_, Outcome::Value(first))), Outcome::Value(second)) = (earlier, outcome)
            && first != second
        {
            whats.push(format!("the same call came to {first} and to {second}"));
        }
    }
    whats
}

/// Whether what a program chose itself is short and safe to print.
fn is_harmless(outcome: &Outcome) -> bool {
    let (Outcome::NonValue(name) | Outcome::Exception(name)) = outcome else { return true };
    name.len() <= 64 && name.chars().all(|letter| letter.is_ascii_graphic())
}

/// Whether a task would take the outcome for its gold value without good reason.
fn pays(program: &Hostile, expected: &Expected, outcome: &Outcome) -> bool {
    let Outcome::Value(text) = outcome else { return false };
    let (Some(gold), Ok(value)) = (&program.gold, Value::from_canonical(text)) else {
        return false;
    };
    answer(&value, gold) && !expected.allows_gold(gold)
}

fn honest_jobs(settings: &Settings) -> Vec<Job> {
    HONEST
        .iter()
        .map(|(source, call, _)| Job {
            program: (*source).to_owned(),
            calls: vec![(*call).to_owned()],
            ..job_of(settings)
        })
        .collect()
}

fn job_of(settings: &Settings) -> Job {
    Job {
        program: String::new(),
        calls: Vec::new(),
        purpose: settings.purpose,
        limits: settings.limits,
        pinned: None,
    }
}

/// Cancels a call that hangs.
struct Until(Instant);

impl Until {
    fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }
}

impl CallContext for Until {
    fn progress(&self, _done: u64, _total: u64) {}

    fn is_cancelled(&self) -> bool {
        Instant::now() > self.0
    }
}
