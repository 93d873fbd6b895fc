//! The held-out set: longer functions from other seeds than in pre-training, checked by both executors.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use azr_plugin::{Domain, Proposal, Quiet, Task};
use azr_run::parse_tasks;
use azr_selfplay::BufferEntry;
use serde_json::Value;

use crate::corpus::{MAX_STATEMENTS, Topic, message, plan};
use crate::draw::Draws;
use crate::engines::Engines;
use crate::program::shape;
use crate::solved::{Plan, Solved, solve};

/// A seed of its own. Pre-training, whatever its seed, leaves out what is written here.
const SEED: u64 = 0x4845_4c44;
/// Tasks of each kind.
const N_TASKS: usize = 300;
/// Statements of a function: one more than the longest of pre-training.
const N_STATEMENTS: usize = MAX_STATEMENTS + 1;

/// CRUXEval functions that are taken.
const N_ITEMS: usize = 100;
/// Longest of them, with its input.
const MAX_ITEM_BYTES: usize = 320;

/// Writes the tasks as JSON lines in the format of a run's buffer log.
pub fn write_heldout(file: &Path) -> Result<()> {
    let engines = Engines::new()?;
    let (domain, executor) = engines.domain("auto")?;
    let mut lines = String::new();
    for (number, topic) in
        [Topic::Deduction, Topic::Abduction, Topic::Induction].into_iter().enumerate()
    {
        // Twice as many as are needed: not every function can be shown, and none is wanted twice.
        let first = (number * 2 * N_TASKS) as u64;
        let plans = (first..first + 2 * N_TASKS as u64)
            .map(|index| plan(Draws::of(SEED, index), topic, N_STATEMENTS, false));
        let mut solved = solve(&*executor, plans.collect())?;
        solved.retain(tells_something);
        let proposals: Vec<Proposal> =
            solved.into_iter().map(|solved| proposal(&*domain, solved)).collect::<Result<_>>()?;
        let tasks = valid_tasks(&*domain, &proposals, N_TASKS)?;
        anyhow::ensure!(tasks.len() == N_TASKS, "only {} {} tasks", tasks.len(), topic.kind());
        push_lines(&mut lines, tasks)?;
    }
    fs::write(file, lines).with_context(|| format!("writing {}", file.display()))
}

/// Writes deduction and abduction tasks of the first CRUXEval items (arXiv 2401.03065; JSON lines with `code` and
/// `input`) that are short enough for the nano model, in the same format.
pub fn write_cruxeval(items: &Path, file: &Path) -> Result<()> {
    let (domain, _) = Engines::new()?.domain("auto")?;
    let text = fs::read_to_string(items).with_context(|| format!("reading {}", items.display()))?;
    let mut lines = String::new();
    for kind in ["deduction", "abduction"] {
        let mut proposals = Vec::new();
        for line in text.lines() {
            let item: Value = serde_json::from_str(line)?;
            let [Some(code), Some(input)] = ["code", "input"].map(|name| item[name].as_str())
            else {
                bail!("{}: an item without code or input", items.display());
            };
            if code.len() + input.len() <= MAX_ITEM_BYTES && code.starts_with("def f(") {
                proposals.push(as_proposal(kind, code, input));
            }
        }
        push_lines(&mut lines, valid_tasks(&*domain, &proposals, N_ITEMS)?)?;
    }
    fs::write(file, lines).with_context(|| format!("writing {}", file.display()))
}

/// The first `n` different tasks that the domain finds valid.
fn valid_tasks(domain: &dyn Domain, proposals: &[Proposal], n: usize) -> Result<Vec<Task>> {
    let mut seen = BTreeSet::new();
    let tasks = domain.validate(proposals, &Quiet)?.into_iter().filter_map(|found| found.task);
    Ok(tasks.filter(|task| seen.insert(task.key.clone())).take(n).collect())
}

fn push_lines(lines: &mut String, tasks: Vec<Task>) -> Result<()> {
    for task in tasks {
        let (domain, kind) = ("code".to_owned(), task.kind.clone());
        let entry = BufferEntry { domain, kind, step: 0, task };
        lines.push_str(&serde_json::to_string(&entry)?);
        lines.push('\n');
    }
    Ok(())
}

/// A program with a call as a model would have proposed it.
fn as_proposal(kind: &str, program: &str, input: &str) -> Proposal {
    let body = program.strip_prefix("def f(").unwrap_or_default();
    let response = format!("{body}\n\nf({input})\n");
    Proposal { kind: kind.to_owned(), references: Vec::new(), response }
}

/// Whether the values of several calls tell something about the function.
fn tells_something(solved: &Solved) -> bool {
    let values: BTreeSet<&str> =
        solved.calls.iter().map(|call| call.output.python.as_str()).collect();
    solved.calls.len() == 1 || values.len() >= solved.calls.len() / 2
}

/// A solved function as a model would have proposed it, so that it is checked like any other task.
fn proposal(domain: &dyn Domain, solved: Solved) -> Result<Proposal> {
    let Solved { plan: Plan { topic, sketch, mut draws, .. }, program, calls } = solved;
    let kind = topic.kind().to_owned();
    let inputs: Vec<&str> = calls.iter().map(|call| call.input.python.as_str()).collect();
    let first = inputs.first().copied().unwrap_or_default();
    if topic != Topic::Induction {
        return Ok(as_proposal(&kind, &program, first));
    }
    let mut found = domain.validate(&[as_proposal("deduction", &program, first)], &Quiet)?;
    let references = found.pop().and_then(|found| found.task).into_iter().collect();
    let lines: String = inputs.iter().map(|input| format!("f({input})\n")).collect();
    let response = format!(" {}\n{lines}", message(&sketch, &mut draws));
    Ok(Proposal { kind, references, response })
}

/// The tasks of a file that [`write_heldout`] wrote.
pub(crate) fn read_tasks(file: &Path) -> Result<Vec<Task>> {
    let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(parse_tasks(file, &text)?.into_iter().map(|entry| entry.task).collect())
}

/// The programs of the tasks of a file, whatever their variables are called.
pub fn heldout_programs(file: &Path) -> Result<BTreeSet<String>> {
    read_tasks(file)?
        .iter()
        .map(|task| {
            let payload: Value = serde_json::from_str(&task.payload)?;
            Ok(shape(payload["program"].as_str().context("no program")?))
        })
        .collect()
}
