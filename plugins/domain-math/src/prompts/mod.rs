//! What the model is asked, in two styles. Prompts are pure functions of the options, the task or request, and the
//! request's seed, which chooses only which of our own examples fill up for missing references.

mod chat;
mod completion;

use azr_plugin::{Message, Prompt, PromptBody, ProposeRequest, Result, Task};

use crate::examples::{EXAMPLES, Example};
use crate::options::{MathOptions, PromptStyle};
use crate::parse::{BLOCK_STOPS, LINE_STOPS};
use crate::seeds::seed_task;
use crate::task::{CallTask, InductionTask, Kind};

/// Fewest definitions that a proposal prompt shows where they carry the format, unless fewer worked examples are
/// wanted.
const MIN_SHOWN: usize = 2;

/// A definition with one call.
#[derive(Debug, Clone, Copy)]
struct Puzzle<'a> {
    definition: &'a str,
    input: &'a str,
    output: &'a str,
}

impl<'a> Puzzle<'a> {
    fn of(example: &'a Example) -> Self {
        let (input, output) = example.points[0];
        Self { definition: example.definition, input, output }
    }

    fn of_task(task: &'a CallTask) -> Self {
        Self { definition: &task.definition, input: &task.input, output: &task.output }
    }
}

/// A message with some points.
#[derive(Debug, Clone)]
struct Riddle<'a> {
    message: &'a str,
    points: Vec<(&'a str, &'a str)>,
}

impl<'a> Riddle<'a> {
    /// With the first `n_points` points of an example.
    fn of(example: &'a Example, n_points: usize) -> Self {
        Self {
            message: example.message,
            points: example.points.iter().take(n_points).copied().collect(),
        }
    }

    fn of_task(task: &'a InductionTask) -> Self {
        let points = task.visible().iter().map(|(input, output)| (input.as_str(), output.as_str()));
        Self { message: &task.message, points: points.collect() }
    }
}

/// A prompt for a proposal.
pub(crate) fn propose(options: &MathOptions, request: &ProposeRequest) -> Result<Prompt> {
    let kind = Kind::parse(&request.kind)?;
    let (budget, n_examples) = (options.budgets().propose, options.worked_examples as usize);
    let body = if kind == Kind::Induction {
        let reference = reference(&request.references)?;
        let n_inputs = options.induction_inputs as usize;
        match options.prompt_style {
            PromptStyle::Completion => {
                text(completion::propose_inputs(&reference.definition, n_inputs, n_examples))
            }
            PromptStyle::Chat => {
                talk(chat::propose_inputs(&reference.definition, n_inputs, options.thinks()))
            }
        }
    } else {
        let references =
            request.references.iter().map(CallTask::read).collect::<Result<Vec<_>>>()?;
        let mut puzzles: Vec<_> = references.iter().map(Puzzle::of_task).collect();
        // With think tags a worked example carries the format, so that no definitions need to be made up for it.
        if !options.thinks() {
            let n_wanted = MIN_SHOWN.min(n_examples).max(options.references as usize);
            puzzles = with_fillers(&puzzles, n_wanted, request.seed);
        }
        match options.prompt_style {
            PromptStyle::Completion => text(completion::propose_call(kind, &puzzles)),
            PromptStyle::Chat => talk(chat::propose_call(kind, &puzzles, options.thinks())),
        }
    };
    Ok(prompt(body, BLOCK_STOPS, budget))
}

/// A prompt for an answer.
pub(crate) fn solve(options: &MathOptions, task: &Task) -> Result<Prompt> {
    let (thinks, budgets) = (options.thinks(), options.budgets());
    let n_examples = options.worked_examples as usize;
    let kind = Kind::parse(&task.kind)?;
    if kind == Kind::Induction {
        let task = InductionTask::read(task)?;
        let riddle = Riddle::of_task(&task);
        let body = match options.prompt_style {
            PromptStyle::Completion => text(completion::induction(&riddle, n_examples)),
            PromptStyle::Chat => talk(chat::induction(&riddle, thinks)),
        };
        return Ok(prompt(body, LINE_STOPS, budgets.induction));
    }
    let task = CallTask::read(task)?;
    let puzzle = Puzzle::of_task(&task);
    let body = match (options.prompt_style, kind) {
        (PromptStyle::Completion, Kind::Abduction) => {
            text(completion::abduction(&puzzle, n_examples))
        }
        (PromptStyle::Completion, _) => text(completion::deduction(&puzzle, n_examples)),
        (PromptStyle::Chat, Kind::Abduction) => talk(chat::abduction(&puzzle, thinks)),
        (PromptStyle::Chat, _) => talk(chat::deduction(&puzzle, thinks)),
    };
    let budget = if kind == Kind::Abduction { budgets.abduction } else { budgets.deduction };
    Ok(prompt(body, LINE_STOPS, budget))
}

/// The task whose expression an induction proposal is about: the first of those given or, where there is none, because
/// all buffers are empty, the one that a run starts from.
pub(crate) fn reference(references: &[Task]) -> Result<CallTask> {
    match references.first() {
        Some(task) => CallTask::read(task),
        None => CallTask::read(&seed_task(Kind::Deduction)?),
    }
}

/// `puzzles` behind as many of our own examples as are missing; `seed` chooses the first of them.
fn with_fillers<'a>(puzzles: &[Puzzle<'a>], n_wanted: usize, seed: u64) -> Vec<Puzzle<'a>> {
    let n_missing = n_wanted.saturating_sub(puzzles.len()).min(EXAMPLES.len());
    let start = (seed % EXAMPLES.len() as u64) as usize;
    let fillers = EXAMPLES.iter().map(Puzzle::of).cycle().skip(start).take(n_missing);
    let mut shown: Vec<Puzzle<'a>> = fillers.collect();
    shown.extend(puzzles);
    shown
}

fn text(body: String) -> PromptBody {
    PromptBody::Text(body)
}

fn talk(messages: Vec<Message>) -> PromptBody {
    PromptBody::Chat(messages)
}

/// A prompt that ends at `stops` where it is a text; a conversation ends by itself.
fn prompt(body: PromptBody, stops: &[&str], max_new_tokens: u32) -> Prompt {
    let stop = match body {
        PromptBody::Text(_) => stops.iter().map(|&stop| stop.to_owned()).collect(),
        PromptBody::Chat(_) => Vec::new(),
    };
    Prompt { body, stop, max_new_tokens }
}

#[cfg(test)]
mod tests;
