//! The public data with their known answers. They are not part of the repository: the tests look into the folder that
//! `AZR_EVAL_DATA` names, and say where they find nothing.

use std::path::PathBuf;

use azr_eval::suites::code::{Synthesis, cruxeval, humaneval, mbpp};
use azr_eval::{PromptStyle, Suite, Verdict};
use azr_plugin::Executor;

use super::mutants::mutants;
use super::{executor, gold_is_right, verdicts};

/// The file of this name, if it is here.
fn data(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("AZR_EVAL_DATA") else {
        eprintln!("skipped: AZR_EVAL_DATA names no folder with `{name}`");
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    if !path.is_file() {
        eprintln!("skipped: `{}` is not here", path.display());
    }
    path.is_file().then_some(path)
}

/// The last of the functions that a solution defines is the one that is asked for.
fn entry_point(source: &str) -> &str {
    let last = source.rsplit("\ndef ").next().unwrap_or_default();
    last.trim_start_matches("def ").split('(').next().unwrap_or_default().trim()
}

/// Nearly right programs fail, but for those whose change makes no difference. Returning nothing is never right.
/// Conditions are left as they are: many a program that has one negated runs into its limit of time, which is long.
fn mutants_are_caught(suite: &Synthesis, executor: &dyn Executor) {
    let (mut changes, mut responses) = (Vec::new(), Vec::new());
    for item in 0..suite.ids().len() {
        let gold = suite.gold(item, PromptStyle::Chat).unwrap();
        let source = gold.trim_start_matches("```python\n").trim_end_matches('`');
        let mut mutants = mutants(source, entry_point(source));
        mutants.retain(|(change, _)| *change != "negated");
        assert!(mutants.len() >= 2, "{gold}");
        for (change, program) in mutants {
            changes.push(change);
            responses.push((item, format!("```python\n{program}\n```")));
        }
    }
    let verdicts = verdicts(suite, executor, PromptStyle::Chat, &responses);
    let is_survivor = |(_, verdict): &(&&str, &Verdict)| verdict.is_right;
    let survivors: Vec<_> = changes.iter().zip(&verdicts).filter(is_survivor).collect();
    assert!(survivors.iter().all(|(change, _)| **change != "return None"));
    let (n_survivors, n_mutants) = (survivors.len(), changes.len());
    eprintln!("{}: {n_survivors} of {n_mutants} mutants survive", suite.name());
    assert!(n_survivors * 20 <= n_mutants, "{survivors:?}");
}

#[test]
fn humaneval_real() {
    let (Some(path), Some(executor)) = (data("HumanEvalPlus.jsonl.gz"), executor()) else { return };
    let suite = humaneval::open(&path).unwrap();
    assert_eq!(suite.ids().len(), 164);
    gold_is_right(&suite, executor);
    mutants_are_caught(&suite, executor);
}

#[test]
fn mbpp_real() {
    let (Some(path), Some(executor)) = (data("MbppPlus.jsonl.gz"), executor()) else { return };
    let suite = mbpp::open(&path).unwrap();
    assert_eq!(suite.ids().len(), 378);
    gold_is_right(&suite, executor);
    mutants_are_caught(&suite, executor);
}

#[test]
fn cruxeval_real() {
    let (Some(path), Some(executor)) = (data("cruxeval.jsonl.gz"), executor()) else { return };
    gold_is_right(&cruxeval::open_output(&path).unwrap(), executor);
    gold_is_right(&cruxeval::open_input(&path).unwrap(), executor);
}
