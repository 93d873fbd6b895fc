//! What the loop tells its caller while it works, and the clock it is given.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azr_plugin::CallContext;

/// A part of a step that takes time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Proposals are sampled.
    Propose,
    /// Proposals are verified.
    Validate,
    /// New tasks are solved several times to estimate their solve rate.
    Estimate,
    /// The answers of the estimates are graded.
    GradeEstimate,
    /// The solver's tasks are solved.
    Solve,
    /// The solver's answers are graded.
    Grade,
    /// The reference model scores what the policy is to learn from.
    Reference,
    /// The policy learns.
    Update,
    /// Held-out tasks are solved.
    Evaluate,
    /// The answers to held-out tasks are graded.
    GradeEvaluation,
}

impl Phase {
    /// The phase's name in metrics. `time/<name>_s` is what the phase added to the step. Of checks that began beside
    /// their wave ([`Overlap`](crate::Overlap)) that is what was left when the wave had ended; the seconds before, in
    /// which they ran while it was sampled, are `time/<name>_overlapped_s` and part of the wave's time.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Validate => "validate",
            Self::Estimate => "estimate",
            Self::GradeEstimate => "grade_estimate",
            Self::Solve => "solve",
            Self::Grade => "grade",
            Self::Reference => "reference",
            Self::Update => "update",
            Self::Evaluate => "evaluate",
            Self::GradeEvaluation => "grade_evaluation",
        }
    }

    /// What the phase's progress counts.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Propose
            | Self::Estimate
            | Self::Solve
            | Self::Reference
            | Self::Update
            | Self::Evaluate => "tokens",
            Self::Validate => "proposals",
            Self::GradeEstimate | Self::Grade | Self::GradeEvaluation => "answers",
        }
    }
}

/// Watches a step. Calls may come from any thread.
pub trait Observer: Sync {
    /// A phase begins; it has `total` units of work at most.
    fn phase_started(&self, _phase: Phase, _total: u64) {}

    /// `done` of `total` units of the phase's work are finished.
    fn progress(&self, _phase: Phase, _done: u64, _total: u64, _unit: &'static str) {}

    /// A phase ended, well or not.
    fn phase_finished(&self, _phase: Phase) {}

    /// True once the step should end with [`SelfPlayError::Cancelled`](crate::SelfPlayError::Cancelled).
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// An observer that watches nothing and never cancels.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

/// Measures how long phases take. Only timings depend on it.
pub trait Clock: Send + Sync {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    start: Instant,
}

impl Default for WallClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for WallClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Hands the progress of one engine call on to the observer.
pub(crate) struct PhaseContext<'a> {
    pub(crate) observer: &'a dyn Observer,
    pub(crate) phase: Phase,
    /// Units that earlier calls of the same phase have done.
    pub(crate) before: u64,
    /// Units of the whole phase.
    pub(crate) total: u64,
    /// Tells that nobody needs the work any more.
    pub(crate) is_given_up: Option<&'a AtomicBool>,
}

impl CallContext for PhaseContext<'_> {
    fn progress(&self, done: u64, _total: u64) {
        let done = self.before.saturating_add(done).min(self.total);
        self.observer.progress(self.phase, done, self.total, self.phase.unit());
    }

    fn is_cancelled(&self) -> bool {
        let is_given_up = self.is_given_up.is_some_and(|given_up| given_up.load(Ordering::Relaxed));
        is_given_up || self.observer.is_cancelled()
    }
}
