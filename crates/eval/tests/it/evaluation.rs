//! A benchmark from its file to its summary, with answers of our own.

use std::path::Path;

use azr_eval::suites::{self, Opened};
use azr_eval::{
    Asker, EvalDir, EvalError, Evaluation, Finish, ModelSetup, Protocol, Question, Record,
    Response, Result, Sampling, Setup, Suite, SuiteSetup, Summary, compare,
};
use azr_plugin::{
    CallContext, ErrorCode, Executor, Job, JobReport, PluginError, PromptBody, Protection, Quiet,
};
use proptest::prelude::*;

/// Math needs none.
struct NoExecutor;

impl Executor for NoExecutor {
    fn run(&self, _: &[Job], _: &dyn CallContext) -> azr_plugin::Result<Vec<JobReport>> {
        Err(PluginError::new(ErrorCode::Unavailable, "there is no executor"))
    }

    fn protections(&self) -> Vec<Protection> {
        Vec::new()
    }
}

/// Adds what it finds between `Add` and `.`, and is wrong about large numbers.
struct Adder {
    limit: u64,
    waves_left: usize,
}

impl Asker for Adder {
    fn wave(&self) -> usize {
        4
    }

    fn ask(
        &mut self,
        questions: &[Question],
        _: Sampling,
        _: &dyn CallContext,
    ) -> Result<Vec<Vec<Response>>> {
        if self.waves_left == 0 {
            return Err(EvalError::Contract("no waves are left".into()));
        }
        self.waves_left -= 1;
        let respond = |question: &Question| {
            let PromptBody::Text(text) = &question.prompt.body else { return Vec::new() };
            let (_, problem) = text.rsplit_once("Add ").unwrap();
            let numbers = problem.split_once('.').unwrap().0.split(" and ");
            let sum: u64 = numbers.map(|number| number.parse::<u64>().unwrap()).sum();
            let said = if sum < self.limit { sum } else { sum + 1 };
            let text = format!(" That is \\boxed{{{said}}}.");
            vec![Response { text, n_tokens: Some(5), finish: Finish::Stop }; question.seeds.len()]
        };
        Ok(questions.iter().map(respond).collect())
    }
}

fn write_sums(folder: &Path, n: u64) {
    let line = |i: u64| {
        format!("{{\"id\": {i}, \"problem\": \"Add {i} and 5.\", \"answer\": {}}}\n", i + 5)
    };
    std::fs::write(folder.join("aime24.jsonl"), (0..n).map(line).collect::<String>()).unwrap();
}

fn setup(opened: &Opened, protocol: &Protocol) -> Setup {
    Setup {
        version: "1".into(),
        model: ModelSetup::Local { name: "adder".into(), sha256: "-".into() },
        protocol: protocol.clone(),
        suites: vec![SuiteSetup::new(&*opened.suite, opened.source.clone(), protocol)],
        caller: serde_json::Value::Null,
    }
}

fn take(dir: &EvalDir, suite: &dyn Suite, adder: &mut Adder) -> Result<Vec<Record>> {
    let evaluation = Evaluation::new(suite, &dir.setup().protocol);
    let done = dir.resume_records(suite.name(), &evaluation)?;
    let mut keep = |records: &[Record]| dir.append(suite.name(), records);
    evaluation.run(done, adder, &NoExecutor, &mut keep, &Quiet)
}

#[test]
fn a_benchmark_is_taken_interrupted_summed_up_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    write_sums(folder.path(), 20);
    let opened = suites::open("aime24", Some(folder.path()), &[]).unwrap();
    let suite = &*opened.suite;
    let protocol = Protocol::default();

    let path = folder.path().join("first");
    let dir = EvalDir::create(&path, setup(&opened, &protocol)).unwrap();
    take(&dir, suite, &mut Adder { limit: 15, waves_left: 2 }).unwrap_err();
    assert_eq!(dir.records("aime24").unwrap().len(), 8);
    drop(dir);
    let dir = EvalDir::resume(&path).unwrap();
    dir.check(&setup(&opened, &protocol)).unwrap();
    let records = take(&dir, suite, &mut Adder { limit: 15, waves_left: 3 }).unwrap();
    assert_eq!(records, dir.records("aime24").unwrap());
    let summary = Summary::new("aime24", &records, &protocol).unwrap();
    assert_eq!((summary.pass_at[&1].value, summary.n_items), (0.5, 20));
    assert_eq!((summary.reasons["ok"], summary.reasons["wrong"]), (10, 10));

    let other = EvalDir::create(&folder.path().join("second"), setup(&opened, &protocol)).unwrap();
    take(&other, suite, &mut Adder { limit: 99, waves_left: 9 }).unwrap();
    let found = compare(&dir, &other).unwrap().remove(0);
    assert_eq!((found.n_items, found.n_gained, found.n_lost), (20, 10, 0));
    assert!(found.p_value.unwrap() < 0.01 && found.difference.low > 0.2, "{found:?}");
    assert!(found.differs.is_empty());
}

/// The real data, where a machine has them: in the folder that `AZR_EVAL_DATA` names.
#[test]
fn the_solutions_of_the_data_are_right_and_those_of_other_items_wrong() {
    let Some(data) = std::env::var_os("AZR_EVAL_DATA") else {
        eprintln!("skipped: AZR_EVAL_DATA names no folder");
        return;
    };
    for name in ["gsm8k", "math500", "olympiadbench"] {
        let suite = suites::open(name, Some(Path::new(&data)), &[]).unwrap().suite;
        let (style, ids) = (azr_eval::PromptStyle::Chat, suite.ids());
        let golds: Vec<String> =
            (0..ids.len()).map(|item| suite.gold(item, style).unwrap()).collect();
        let right = |shift: usize| -> Vec<usize> {
            let gold = |item: usize| golds[(item + shift) % golds.len()].as_str();
            let answer = |item| azr_eval::Answer { item, style, response: gold(item) };
            let answers: Vec<_> = (0..ids.len()).map(answer).collect();
            let verdicts = suite.grade(&answers, &NoExecutor, &Quiet).unwrap();
            (0..ids.len()).filter(|&item| verdicts[item].is_right).collect()
        };
        let (own, others) = (right(0), right(1));
        let missed: Vec<&String> =
            (0..ids.len()).filter(|item| !own.contains(item)).map(|item| &ids[item]).collect();
        eprintln!("{name}: {} of {} right, those of others {}", own.len(), ids.len(), others.len());
        assert!(missed.is_empty(), "{name}: {missed:?}");
        assert!(others.len() * 20 < ids.len(), "{name}: {} of other items", others.len());
    }
}

proptest! {
    #[test]
    fn whatever_a_file_holds_it_is_read_or_its_line_is_named(text in r#"([\[{"a-z0-9:,\\}\] ]{0,30}\n){0,5}"#) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("aime24.jsonl"), &text).unwrap();
        match suites::open("aime24", Some(folder.path()), &[]) {
            Ok(opened) => prop_assert!(!opened.suite.ids().is_empty()),
            Err(error) => prop_assert!(error.to_string().contains("aime24.jsonl` line "), "{}", error),
        }
    }

    #[test]
    fn any_response_gets_a_verdict(responses in prop::collection::vec(".{0,60}", 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        write_sums(folder.path(), 1);
        let opened = suites::open("aime24", Some(folder.path()), &[]).unwrap();
        let style = azr_eval::PromptStyle::Completion;
        let answer = |response| azr_eval::Answer { item: 0, style, response };
        let answers: Vec<_> = responses.iter().map(|response| answer(response.as_str())).collect();
        let verdicts = opened.suite.grade(&answers, &NoExecutor, &Quiet).unwrap();
        prop_assert_eq!(verdicts.len(), responses.len());
        prop_assert!(verdicts.iter().all(|verdict| verdict.is_right == (verdict.reason == "ok")));
    }
}
