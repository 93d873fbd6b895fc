//! The domain `sql`: puzzles about queries on a small table, in three kinds.
//!
//! * deduction: the result of a query,
//! * abduction: one more row with which a query comes to a given result,
//! * induction: the query behind the results on some tables, checked on tables that were not shown.
//!
//! The proposer writes the answer along with the puzzle (the row that is then taken away, the query behind the results), so
//! every gold answer holds by construction. Queries are model output: `database` runs them in SQLite, in memory, where
//! they can do nothing but read one table, in bounded time and memory.

mod cell;
mod database;
mod prompts;
mod puzzle;

use std::collections::BTreeMap;

use azr_plugin::{
    Answer, CallContext, Domain, Engine, ErrorCode, Grade, KnownAnswers, NoOptions, PluginError,
    Prompt, Proposal, ProposeRequest, Result, Services, Task, TaskKind, Validation,
};

pub use cell::{Cell, rows};
use puzzle::{Examples, Puzzle};

azr_plugin::export! {
    entry: azr_example_domain_sql,
    domains: [SqlDomain],
}

/// Names of the kinds.
const DEDUCTION: &str = "deduction";
const ABDUCTION: &str = "abduction";
const INDUCTION: &str = "induction";

/// Puzzles about queries on a small table.
#[derive(Debug)]
pub struct SqlDomain;

impl Engine for SqlDomain {
    const NAME: &'static str = "sql";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "SQL: the result of a query, a row that makes it so, the query";
    type Options = NoOptions;

    fn create(_: NoOptions, _: Services) -> Result<Self> {
        Ok(Self)
    }
}

impl Domain for SqlDomain {
    fn kinds(&self) -> Vec<TaskKind> {
        vec![
            TaskKind::new(DEDUCTION, &[DEDUCTION], 2),
            TaskKind::new(ABDUCTION, &[ABDUCTION], 2),
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
            let response = &prompts::completed(&proposal.response);
            let task = match proposal.kind.as_str() {
                DEDUCTION => Puzzle::of(response).and_then(Puzzle::deduction),
                ABDUCTION => Puzzle::of(response).and_then(Puzzle::abduction),
                INDUCTION => Examples::of(prompts::shown_query(&proposal.references)?, response)
                    .and_then(Examples::induction),
                kind => return Err(unknown_kind(kind)),
            };
            match task {
                Ok(task) => task.map(valid),
                // What could not be read at all, against what was read and makes no puzzle.
                Err(reason @ ("not_two_lines" | "no_rows_written")) => {
                    Ok(Validation::malformed(reason))
                }
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
            // Whatever a model goes on with, it does so on the next line.
            let Some(answer) = response.trim().lines().next() else {
                return Ok(Grade::malformed("empty"));
            };
            let is_right = match task.kind.as_str() {
                DEDUCTION => task.read::<Puzzle>()?.is_deduced(answer),
                ABDUCTION => task.read::<Puzzle>()?.is_abduced(answer),
                INDUCTION => task.read::<Examples>()?.is_induced(answer),
                kind => return Err(unknown_kind(kind)),
            };
            let is_written = task.kind == INDUCTION || rows(answer).is_some();
            Ok(match (is_right, is_written) {
                (true, _) => Grade::right(),
                (false, true) => Grade::wrong("wrong"),
                (false, false) => Grade::malformed("no_rows_written"),
            })
        };
        answers.iter().map(grade).collect()
    }

    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        tasks.iter().map(puzzle::known_answers).collect()
    }
}

/// A task with what metrics show of its difficulty: the length of its query.
fn valid(task: Task) -> Validation {
    let measures = BTreeMap::from([("query_bytes".to_owned(), task.subject.len() as f64)]);
    Validation { measures, ..Validation::valid(task) }
}

fn unknown_kind(kind: &str) -> PluginError {
    PluginError::new(ErrorCode::InvalidInput, format!("the domain `sql` has no kind `{kind}`"))
        .with_hint(format!("its kinds are {DEDUCTION}, {ABDUCTION} and {INDUCTION}"))
}
