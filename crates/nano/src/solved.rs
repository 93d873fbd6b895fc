//! Sketches that were run: arguments, values and notes, as the texts that documents are made of.

use anyhow::{Context, Result};
use azr_executor::{Value, parse_arguments};
use azr_plugin::{Executor, Job, Limits, Outcome, Purpose, Quiet};

use crate::corpus::Topic;
use crate::draw::Draws;
use crate::program::Sketch;

/// Longest value or argument list in characters; longer ones teach a small model nothing but copying.
const MAX_CHARS: usize = 36;
/// Longest note in characters: a statement and a value.
const MAX_NOTE_CHARS: usize = 72;
/// Most notes of a run.
const MAX_NOTES: usize = 14;
/// Calls that are tried beyond those that are wanted.
const SPARE_CALLS: usize = 2;

/// A function that is to be run, and what for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) topic: Topic,
    pub(crate) sketch: Sketch,
    /// Whether answers are worked out step by step.
    pub(crate) is_careful: bool,
    /// Calls that are wanted.
    pub(crate) n_calls: usize,
    /// Where all further choices about it come from.
    pub(crate) draws: Draws,
}

/// A function with calls of it.
#[derive(Debug)]
pub(crate) struct Solved {
    pub(crate) plan: Plan,
    pub(crate) program: String,
    pub(crate) calls: Vec<Call>,
}

/// One run of a function.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) input: Noted,
    pub(crate) output: Noted,
    /// How the value comes about: see [`Sketch::noting_source`].
    pub(crate) notes: Vec<String>,
}

/// A value or an argument list in the executor's canonical text and as Python text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) canonical: String,
    pub(crate) python: String,
}

/// Runs plans with random arguments. What raises, is too long or has too few different calls is left out.
pub(crate) fn solve(executor: &dyn Executor, plans: Vec<Plan>) -> Result<Vec<Solved>> {
    let (mut jobs, mut tried) = (Vec::new(), Vec::new());
    let mut plans = plans;
    for plan in &mut plans {
        let mut inputs: Vec<Noted> = Vec::new();
        for _ in 0..plan.n_calls + SPARE_CALLS {
            let text = plan.sketch.arguments(&mut plan.draws);
            let arguments = parse_arguments(&text).context(text)?;
            let input = Noted { canonical: arguments.to_canonical(), python: arguments.repr() };
            if !inputs.contains(&input) {
                inputs.push(input);
            }
        }
        jobs.push(Job {
            program: plan.sketch.noting_source(),
            calls: inputs.iter().map(|input| input.canonical.clone()).collect(),
            purpose: Purpose::Check,
            limits: Limits::default(),
            pinned: None,
        });
        tried.push(inputs);
    }
    let reports = executor.run(&jobs, &Quiet)?;
    let mut solved = Vec::new();
    for ((plan, inputs), report) in plans.into_iter().zip(tried).zip(reports) {
        let runs = inputs.into_iter().zip(&report.outcomes);
        let calls: Vec<Call> =
            runs.filter_map(|(input, outcome)| call(input, outcome)).take(plan.n_calls).collect();
        if calls.len() == plan.n_calls {
            let program = plan.sketch.source();
            solved.push(Solved { plan, program, calls });
        }
    }
    Ok(solved)
}

/// A run that is short enough to be shown.
fn call(input: Noted, outcome: &Outcome) -> Option<Call> {
    let Outcome::Value(canonical) = outcome else { return None };
    let Value::Tuple(parts) = Value::from_canonical(canonical).ok()? else { return None };
    let [Value::List(notes), output] = parts.as_slice() else { return None };
    let notes: Vec<String> = notes
        .iter()
        .map(|note| match note {
            Value::Str(text) => Some(text.clone()),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let output = Noted { canonical: output.to_canonical(), python: output.repr() };
    let is_short = |text: &str| text.chars().count() <= MAX_CHARS;
    let is_shown = notes.len() <= MAX_NOTES
        && notes.iter().all(|note| note.chars().count() <= MAX_NOTE_CHARS)
        && is_short(&output.python)
        && is_short(&input.python);
    is_shown.then_some(Call { input, output, notes })
}
