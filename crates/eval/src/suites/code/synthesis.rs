//! Benchmarks that ask for a function and run it on inputs: HumanEval+ and MBPP+.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use azr_plugin::{CallContext, Executor, JobReport, Prompt};

use super::problem::Problem;
use super::reference::{self, Reference};
use super::wave::{OK, Ticket, WRONG, Wave, failure, verdict};
use super::{prompt, response};
use crate::{Answer, PromptStyle, Result, Suite, Verdict};

/// Longest continuation in tokens, as EvalPlus has it.
const COMPLETION_TOKENS: u32 = 768;

/// Longest response in chat: a whole program with words around it.
const CHAT_TOKENS: u32 = 2048;

/// What an answer in chat has to look like.
const DEMAND: &str = "Answer with one Python code block that holds the whole function and everything it needs, imports included; no tests and no examples.";

/// How a benchmark asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wording {
    /// What is asked for in chat, as a sentence.
    pub(super) instruction: &'static str,
    /// What ends a continuation of the prompt.
    pub(super) stops: &'static [&'static str],
    /// Whether the prompt is the beginning of the function.
    pub(super) is_header: bool,
}

/// A benchmark of functions to write. An answer is right if its function returns what it should for every input, those
/// of EvalPlus included.
#[derive(Debug)]
pub struct Synthesis {
    name: &'static str,
    wording: Wording,
    problems: Vec<Problem>,
    /// What was found out so far of the reference solutions, by problem.
    references: Mutex<BTreeMap<usize, Arc<Reference>>>,
}

impl Synthesis {
    pub(super) fn new(name: &'static str, wording: Wording, problems: Vec<Problem>) -> Self {
        Self { name, wording, problems, references: Mutex::default() }
    }

    /// The number of inputs of problem `item`, and how many of them are not used since the reference solution's value
    /// exceeds a limit of the sandbox; none before the first answer to the problem was graded.
    pub fn inputs(&self, item: usize) -> (usize, Option<usize>) {
        let references = self.references.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = references.get(&item).map(|reference| reference.left_out.len());
        (self.problems.get(item).map_or(0, |problem| problem.inputs.len()), left_out)
    }

    /// The references of `items`; those that are missing are found first.
    fn references(
        &self,
        items: &[usize],
        executor: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<BTreeMap<usize, Arc<Reference>>> {
        // Held while they are found, so that nothing is looked for twice.
        let mut known = self.references.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing: Vec<usize> =
            items.iter().copied().filter(|item| !known.contains_key(item)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing.retain(|item| *item < self.problems.len());
        let problems: Vec<&Problem> = missing.iter().map(|item| &self.problems[*item]).collect();
        let found = reference::establish(&problems, executor, context)?;
        known.extend(missing.into_iter().zip(found.into_iter().map(Arc::new)));
        let wanted = |item: &usize| Some((*item, known.get(item)?.clone()));
        Ok(items.iter().filter_map(wanted).collect())
    }
}

impl Suite for Synthesis {
    fn name(&self) -> &str {
        self.name
    }

    fn ids(&self) -> Vec<String> {
        self.problems.iter().map(|problem| problem.id.clone()).collect()
    }

    fn prompt(&self, item: usize, style: PromptStyle) -> Prompt {
        let shown = self.problems.get(item).map_or("", |problem| &problem.prompt);
        match style {
            PromptStyle::Completion => {
                prompt::completion(shown.to_owned(), self.wording.stops, COMPLETION_TOKENS)
            }
            PromptStyle::Chat => prompt::chat(
                format!("{} {DEMAND}\n\n```python\n{shown}```", self.wording.instruction),
                CHAT_TOKENS,
            ),
        }
    }

    fn grade(
        &self,
        answers: &[Answer<'_>],
        executor: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<Vec<Verdict>> {
        let items: Vec<usize> = answers.iter().map(|answer| answer.item).collect();
        let references = self.references(&items, executor, context)?;
        let mut wave = Wave::default();
        let pending: Vec<Pending<'_>> = answers
            .iter()
            .map(|answer| {
                let (Some(problem), Some(reference)) =
                    (self.problems.get(answer.item), references.get(&answer.item))
                else {
                    return Pending::Known("no_such_item");
                };
                match response::read(problem, answer.style, answer.response) {
                    Err(reason) => Pending::Known(reason),
                    Ok(program) => {
                        let calls = reference.batches.iter().map(|batch| &batch.call);
                        let ticket = wave.add(program.for_batches(problem), calls);
                        Pending::Run { problem, reference, ticket, source: program.source }
                    }
                }
            })
            .collect();
        let reports = wave.run(answers.len(), executor, context)?;
        Ok(pending.into_iter().map(|pending| pending.settle(&reports)).collect())
    }

    fn gold(&self, item: usize, style: PromptStyle) -> Option<String> {
        let problem = self.problems.get(item)?;
        Some(match style {
            PromptStyle::Completion => problem.solution.clone(),
            PromptStyle::Chat if self.wording.is_header => {
                format!("```python\n{}\n```", problem.reference())
            }
            PromptStyle::Chat => format!("```python\n{}\n```", problem.solution),
        })
    }
}

/// An answer that is graded as soon as the wave has run.
enum Pending<'a> {
    Known(&'static str),
    Run { problem: &'a Problem, reference: &'a Reference, ticket: Ticket, source: String },
}

impl Pending<'_> {
    fn settle(self, reports: &[JobReport]) -> Verdict {
        match self {
            Self::Known(reason) => verdict(reason, None),
            Self::Run { problem, reference, ticket, source } => {
                verdict(judge(problem, reference, &ticket, reports), Some(source))
            }
        }
    }
}

/// The reason of the first batch that is not right.
fn judge(
    problem: &Problem,
    reference: &Reference,
    ticket: &Ticket,
    reports: &[JobReport],
) -> &'static str {
    let mut outcomes = ticket.outcomes(reports);
    for batch in &reference.batches {
        let Some(outcome) = outcomes.next() else { return "crashed" };
        let Some(values) = reference::values(outcome, batch.values.len()) else {
            return failure(outcome);
        };
        let accepts = |((position, expected), returned): (&(usize, _), &_)| {
            let arguments = problem.inputs.get(*position).map_or(&[][..], Vec::as_slice);
            problem.oracle.accepts(arguments, returned, expected)
        };
        if !batch.values.iter().zip(&values).all(accepts) {
            return WRONG;
        }
    }
    OK
}
