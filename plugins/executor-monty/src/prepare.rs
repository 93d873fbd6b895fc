//! Turns a job into what a worker is sent, or into the outcome that needs no worker.

use azr_executor::literal::Arguments;
use azr_executor::{ImportPolicy, program};
use azr_plugin::{Engine, Job, Limits, Outcome, Purpose};

use crate::MontyExecutor;
use crate::faithful::{Faithful, faithful};
use crate::protocol::Request;

/// Longest limit in milliseconds: a day bounds the arithmetic of clocks on both sides.
const MAX_LIMIT_MS: u64 = 86_400_000;

/// A job's way through the workers.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What is known of each call already.
    pub(crate) outcomes: Vec<Option<Outcome>>,
    /// Body of the program's frame; empty where no call is left to run.
    pub(crate) program: Vec<u8>,
    /// Bodies of the frames of the calls that are left.
    pub(crate) calls: Vec<(usize, Vec<u8>)>,
    pub(crate) limits: Limits,
    pub(crate) is_gold: bool,
}

impl Plan {
    pub(crate) fn of(job: &Job, gate: Option<&ImportPolicy>) -> Self {
        let limits = Limits {
            wall_ms: job.limits.wall_ms.clamp(1, MAX_LIMIT_MS),
            cpu_ms: job.limits.cpu_ms.clamp(1, MAX_LIMIT_MS),
            ..job.limits
        };
        let mut plan = Self {
            outcomes: vec![None; job.calls.len()],
            program: Vec::new(),
            calls: Vec::new(),
            limits,
            is_gold: job.purpose == Purpose::Gold,
        };
        if job.pinned.as_deref().is_some_and(|name| name != MontyExecutor::NAME) {
            plan.settle(&Outcome::Refused("pinned".to_owned()));
            return plan;
        }
        let arguments: Vec<Option<Arguments>> =
            job.calls.iter().map(|call| Arguments::from_canonical(call).ok()).collect();
        for (outcome, arguments) in plan.outcomes.iter_mut().zip(&arguments) {
            if arguments.is_none() {
                *outcome = Some(Outcome::Refused("arguments".to_owned()));
            }
        }
        let known: Vec<&Arguments> = arguments.iter().flatten().collect();
        let look = |source: &str, module: &_| faithful(source, module, &known);
        match program::inspect(&job.program, gate, look) {
            Ok(Ok(Faithful { source, is_guarded })) => {
                plan.program = Request::Program { limits, is_guarded, source: &source }.encode();
            }
            Ok(Err(feature)) => {
                plan.settle(&Outcome::Unsupported(feature.to_owned()));
                return plan;
            }
            Err(error) => {
                plan.settle(&Outcome::Refused(error.reason().to_owned()));
                return plan;
            }
        }
        let is_open = |index: &usize| plan.outcomes.get(*index).is_some_and(Option::is_none);
        let call =
            |index: usize| job.calls.get(index).map(|call| (index, Request::Call(call).encode()));
        plan.calls = (0..job.calls.len()).filter(is_open).filter_map(call).collect();
        plan
    }

    /// Gives this outcome to all calls that have none.
    fn settle(&mut self, outcome: &Outcome) {
        for place in &mut self.outcomes {
            place.get_or_insert_with(|| outcome.clone());
        }
    }
}
