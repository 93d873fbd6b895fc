//! The domain `regex`: puzzles about strings and regular expressions, in three kinds.
//!
//! * deduction: the first part of a text that a pattern matches,
//! * abduction: a text of a given length and end that a pattern matches as a whole,
//! * induction: a pattern from texts it matches and texts it does not, checked on texts that were not shown.
//!
//! The proposer writes the answer along with the puzzle (the text that matches, the pattern behind the examples), so every
//! gold answer holds by construction. Patterns are model output: short, compiled under a size limit and matched in linear
//! time by the `regex` crate.

mod parse;
mod pattern;
mod prompts;
mod puzzle;

use std::collections::BTreeMap;

use azr_plugin::{
    Answer, CallContext, Domain, Engine, ErrorCode, Grade, KnownAnswers, NoOptions, PluginError,
    Prompt, Proposal, ProposeRequest, Result, Services, Task, TaskKind, Validation,
};

pub use parse::texts;
use puzzle::{Examples, Pair};

azr_plugin::export! {
    entry: azr_example_domain_regex,
    domains: [RegexDomain],
}

/// Names of the kinds.
const DEDUCTION: &str = "deduction";
const ABDUCTION: &str = "abduction";
const INDUCTION: &str = "induction";

/// Puzzles about strings and regular expressions.
#[derive(Debug)]
pub struct RegexDomain;

impl Engine for RegexDomain {
    const NAME: &'static str = "regex";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "regular expressions: find the match, a matching text, the pattern";
    type Options = NoOptions;

    fn create(_: NoOptions, _: Services) -> Result<Self> {
        Ok(Self)
    }
}

impl Domain for RegexDomain {
    fn kinds(&self) -> Vec<TaskKind> {
        vec![
            TaskKind::new(DEDUCTION, &[DEDUCTION], 3),
            TaskKind::new(ABDUCTION, &[ABDUCTION], 3),
            TaskKind::new(INDUCTION, &[DEDUCTION, ABDUCTION], 1),
        ]
    }

    fn seed_tasks(&self, kind: &str) -> Result<Vec<Task>> {
        puzzle::seeds(kind)
    }

    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>> {
        requests.iter().map(prompts::propose).collect()
    }

    fn validate(&self, proposals: &[Proposal], _: &dyn CallContext) -> Result<Vec<Validation>> {
        let verdict = |proposal: &Proposal| {
            let Some(texts) = texts(&prompts::completed(&proposal.response)) else {
                return Ok(Validation::malformed("syntax"));
            };
            let task = match proposal.kind.as_str() {
                DEDUCTION => Pair::of(texts).and_then(Pair::deduction),
                ABDUCTION => Pair::of(texts).and_then(Pair::abduction),
                INDUCTION => Examples::of(prompts::shown_pattern(&proposal.references)?, texts)
                    .and_then(|examples| examples.induction()),
                kind => return Err(unknown_kind(kind)),
            };
            match task {
                Ok(task) => task.map(valid),
                Err(reason) => Ok(Validation::rejected(reason)),
            }
        };
        proposals.iter().map(verdict).collect()
    }

    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>> {
        tasks.iter().map(prompts::solve).collect()
    }

    fn grade(&self, answers: &[Answer], _: &dyn CallContext) -> Result<Vec<Grade>> {
        let grade = |Answer { task, response }: &Answer| {
            // One text between quotes; whatever a model goes on with, it does so on the next line.
            let answer = match texts(&prompts::completed(response)).as_deref() {
                Some([answer]) => answer.clone(),
                _ => return Ok(Grade::malformed("syntax")),
            };
            let is_right = match task.kind.as_str() {
                DEDUCTION => task.read::<Pair>()?.is_deduced(&answer),
                ABDUCTION => task.read::<Pair>()?.is_abduced(&answer),
                INDUCTION => task.read::<Examples>()?.is_induced(&answer),
                kind => return Err(unknown_kind(kind)),
            };
            Ok(if is_right { Grade::right() } else { Grade::wrong("wrong") })
        };
        answers.iter().map(grade).collect()
    }

    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        tasks.iter().map(puzzle::known_answers).collect()
    }
}

/// A task with what metrics show of its difficulty: the length of its pattern.
fn valid(task: Task) -> Validation {
    let measures = BTreeMap::from([("pattern_bytes".to_owned(), task.subject.len() as f64)]);
    Validation { measures, ..Validation::valid(task) }
}

fn unknown_kind(kind: &str) -> PluginError {
    PluginError::new(ErrorCode::InvalidInput, format!("the domain `regex` has no kind `{kind}`"))
        .with_hint(format!("its kinds are {DEDUCTION}, {ABDUCTION} and {INDUCTION}"))
}
