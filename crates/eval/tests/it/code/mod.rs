//! The benchmarks about programs.

mod known;
mod mutants;
mod predicted;
mod written;

use std::path::PathBuf;
use std::sync::OnceLock;

use azr_eval::{Answer, PromptStyle, Suite, Verdict};
use azr_executor_cpython::{CpythonExecutor, CpythonOptions, Policy};
use azr_plugin::{Engine, Executor, Quiet, Services};

/// How a model is spoken to: everything holds for both.
const STYLES: [PromptStyle; 2] = [PromptStyle::Completion, PromptStyle::Chat];

/// One executor for all tests; `None`, with a line that says so, where there is none.
fn executor() -> Option<&'static dyn Executor> {
    static EXECUTOR: OnceLock<Option<CpythonExecutor>> = OnceLock::new();
    let executor = EXECUTOR.get_or_init(|| {
        let options = CpythonOptions { policy: Policy::Open, ..CpythonOptions::default() };
        let created = CpythonExecutor::create(options, Services::default());
        created.inspect_err(|error| eprintln!("skipped: {error}")).ok()
    });
    executor.as_ref().map(|executor| executor as &dyn Executor)
}

/// A file with `text` in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

/// Verdicts on responses to items.
fn verdicts<T: AsRef<str>>(
    suite: &dyn Suite,
    executor: &dyn Executor,
    style: PromptStyle,
    responses: &[(usize, T)],
) -> Vec<Verdict> {
    let answer = |(item, response): &'_ (usize, T)| -> (usize, String) {
        (*item, response.as_ref().to_owned())
    };
    let owned: Vec<_> = responses.iter().map(answer).collect();
    let answers: Vec<Answer<'_>> =
        owned.iter().map(|(item, response)| Answer { item: *item, style, response }).collect();
    suite.grade(&answers, executor, &Quiet).unwrap()
}

/// The reasons of these verdicts. What is right has reason `ok`, and nothing else has.
fn reasons(verdicts: &[Verdict]) -> Vec<&str> {
    assert!(verdicts.iter().all(|verdict| verdict.is_right == (verdict.reason == "ok")));
    verdicts.iter().map(|verdict| verdict.reason.as_str()).collect()
}

/// All of the suite's own solutions must be graded right, asked in either style.
fn gold_is_right(suite: &dyn Suite, executor: &dyn Executor) {
    let ids = suite.ids();
    for style in STYLES {
        let gold: Vec<_> =
            (0..ids.len()).map(|item| (item, suite.gold(item, style).unwrap())).collect();
        let verdicts = verdicts(suite, executor, style, &gold);
        let wrong: Vec<_> =
            ids.iter().zip(reasons(&verdicts)).filter(|(_, why)| *why != "ok").collect();
        assert!(wrong.is_empty(), "{} {style:?}: {wrong:?}", suite.name());
    }
}
