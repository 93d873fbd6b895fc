//! Whole evaluations: what they leave, that they can be interrupted, compared, and taken against a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use azr_host::Host;
use azr_plugin::{
    Completion, ControlTokens, FinishReason, GenerateRequest, ModelSpec, Quiet, Sampling,
};
use serde_json::{Value, json};

use crate::fixtures::{Workspace, expect_code, stderr, stdout};
use crate::loopback::{Loopback, http};

/// How long a helper process may take before a test calls it hung.
const PATIENCE: Duration = Duration::from_secs(300);

/// The records of a suite.
fn records(folder: &Path, suite: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(format!("{suite}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_built_in_model_is_evaluated_without_data() {
    let w = Workspace::new();
    let arguments =
        ["eval", "--model=azr-nano", "--suite=heldout,cruxeval-o", "--limit=12", "--out=a"];
    let output = expect_code(&mut w.azr(&arguments), 0);
    let table = stdout(&output);
    assert!(table.contains("heldout") && table.contains("pass@1"), "{table}");
    let said = stderr(&output);
    assert!(said.contains("cruxeval-o: 100 built-in tasks of the domain code"), "{said}");
    assert!(said.contains("heldout: 12 of 900 items, drawn with seed 0"), "{said}");
    let found = records(&w.path("a"), "heldout");
    assert_eq!(found.len(), 12);
    let is_right = |record: &&Value| record["is_right"] == true;
    let n_right = found.iter().filter(is_right).count();
    let summary: Value =
        serde_json::from_slice(&fs::read(w.path("a/summary.json")).unwrap()).unwrap();
    assert_eq!(summary[0]["pass_at"]["1"]["value"], n_right as f64 / 12.0);
    assert!(found.iter().all(|record| record["prompt"].as_str().unwrap().contains("def f(")));
    let config: Value =
        serde_json::from_slice(&fs::read(w.path("a/config.json")).unwrap()).unwrap();
    assert_eq!(config["model"]["local"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(config["suites"][1]["data"]["variant"], "100 built-in tasks of the domain code");

    // Half as many items are among them, and their answers are the same.
    let arguments =
        ["eval", "--model=nano", "--suite=heldout", "--limit=6", "--out=b", "--format=json"];
    let text = stdout(&expect_code(&mut w.azr(&arguments), 0));
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["suites"][0]["n_items"], 6);
    assert!(records(&w.path("b"), "heldout").iter().all(|record| found.contains(record)));
    let compared = expect_code(&mut w.azr(&["eval", "compare", "a", "b", "--format=json"]), 0);
    let compared: Value = serde_json::from_str(&stdout(&compared)).unwrap();
    assert_eq!((&compared[0]["n_items"], &compared[0]["n_others"]), (&6.into(), &json!([6, 0])));
    assert_eq!(
        (&compared[0]["difference"]["value"], &compared[0]["p_value"]),
        (&0.0.into(), &1.0.into())
    );
    let text = stderr(&expect_code(
        &mut w.azr(&["eval", "--model=nano", "--suite=heldout", "--out=b"]),
        1,
    ));
    assert!(text.contains("--resume b"), "{text}");
}

#[test]
fn an_interrupted_evaluation_ends_with_the_same_bytes() {
    let w = Workspace::new();
    let arguments = |out: &'static str| {
        [
            "eval",
            "--model=nano",
            "--suite=cruxeval-o,heldout",
            "--limit=160",
            "--samples=8",
            "--pass-at=1,8",
            "--out",
            out,
        ]
    };
    expect_code(&mut w.azr(&arguments("whole")), 0);
    let mut child = start(&mut w.azr(&arguments("parts")));
    let log = w.path("parts/heldout.jsonl");
    wait_for_lines(&log, 1, &mut child);
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let n_lines = fs::read_to_string(&log).unwrap().lines().count();
    assert!(n_lines > 0 && n_lines < 1280 && !w.path("parts/summary.json").exists(), "{n_lines}");

    let mut child = start(&mut w.azr(&["eval", "--resume", "parts"]));
    wait_for_lines(&log, n_lines + 1, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    // As if the kill had come in the middle of a write.
    let torn = fs::read(&log).unwrap();
    assert!(torn.iter().filter(|&&byte| byte == b'\n').count() < 1280);
    fs::write(&log, &torn[..torn.len() - 9]).unwrap();
    expect_code(&mut w.azr(&["eval", "--resume", "parts"]), 0);
    for file in ["heldout.jsonl", "cruxeval-o.jsonl", "summary.json", "config.json"] {
        let [whole, parts] =
            ["whole", "parts"].map(|run| fs::read(w.path(run).join(file)).unwrap());
        assert!(whole == parts, "{file} differs");
    }
    // Nothing is left to do.
    expect_code(&mut w.azr(&["eval", "--resume", "parts"]), 0);

    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"sample\":2", "\"sample\":", 1)).unwrap();
    let said = stderr(&expect_code(&mut w.azr(&["eval", "--resume", "parts"]), 1));
    assert!(said.contains("heldout.jsonl` line 3: "), "{said}");
    fs::remove_file(w.path("parts/config.json")).unwrap();
    let said = stderr(&expect_code(&mut w.azr(&["eval", "--resume", "parts"]), 1));
    assert!(said.contains("holds no evaluation"), "{said}");
}

#[test]
fn what_is_wrong_is_named_before_anything_is_made() {
    let w = Workspace::new();
    fs::create_dir(w.path("data")).unwrap();
    let sound = r#"{"question": "1 + 1?", "answer": "It is 2.\n#### 2"}"#;
    let refused = |arguments: &[&str], code: i32, parts: &[&str]| {
        let arguments = [&["eval", "--model=model", "--out=out"], arguments].concat();
        let said = stderr(&expect_code(&mut w.azr(&arguments), code));
        for part in parts {
            assert!(said.contains(part), "`{part}` is not in:\n{said}");
        }
        assert!(!w.path("out").exists(), "{said}");
    };
    let with_data = ["--suite=gsm8k", "--data=data"];
    refused(&with_data, 2, &["gsm8k_test.jsonl", "/data`", "hint:"]);
    for (line, reason) in
        [("{\"question\": \"cut", "EOF"), ("{\"question\": \"1 + 2?\"}", "neither `answer`")]
    {
        fs::write(w.path("data/gsm8k_test.jsonl"), format!("{sound}\n{line}\n")).unwrap();
        refused(&with_data, 1, &["gsm8k_test.jsonl` line 2: ", reason]);
    }
    refused(&[], 2, &["--suite"]);
    refused(&["--suite=gsm8"], 2, &["did you mean `gsm8k`?", "heldout", "math500"]);
    refused(&["--suite=heldout", "--samples=3", "--pass-at=5"], 2, &["pass@5", "3 samples"]);
    refused(&["--suite=heldout", "--samples=3", "--temperature=0"], 2, &["greedy"]);
    refused(&["--suite=heldout", "--backend=abacus"], 2, &["abacus", "cpu"]);
    let said = expect_code(&mut w.azr(&["eval", "compare", "data", "data"]), 1);
    assert!(stderr(&said).contains("holds no evaluation"), "{}", stderr(&said));

    // A file that changed since.
    let other = sound.replace("1 + 1", "2 + 0");
    fs::write(w.path("data/gsm8k_test.jsonl"), format!("{sound}\n")).unwrap();
    let arguments =
        ["eval", "--model=model", "--out=out", "--max-tokens=4", "--suite=gsm8k", "--data=data"];
    expect_code(&mut w.azr(&arguments), 0);
    let found = records(&w.path("out"), "gsm8k");
    assert!(found[0]["prompt"].as_str().unwrap().ends_with("Problem: 1 + 1?\nSolution:"));
    fs::write(w.path("data/gsm8k_test.jsonl"), format!("{other}\n")).unwrap();
    let said = stderr(&expect_code(&mut w.azr(&["eval", "--resume=out"]), 1));
    assert!(said.contains("another data of suite gsm8k"), "{said}");
}

#[test]
fn benchmarks_are_taken_while_a_run_learns() {
    let w = Workspace::new();
    let settings = [
        "--steps=3",
        "--set=eval.every=2",
        "--set=eval.suites=['cruxeval-o']",
        "--set=eval.limit=3",
        "--set=domains.code.max_new_tokens={propose=48,deduction=16,abduction=16,induction=48}",
    ];
    let said = stderr(&expect_code(&mut w.train("run", &settings), 0));
    assert!(said.contains("| cruxeval-o 0.0 %"), "{said}");
    let metrics = w.metrics("run");
    let asked: Vec<Option<f64>> = metrics
        .iter()
        .map(|line| line.get("benchmark/cruxeval-o/n_items").map(|n| n.as_f64().unwrap()))
        .collect();
    // Seeding, before the first step, three steps.
    assert_eq!(asked, [None, Some(3.0), None, Some(3.0), Some(3.0)]);
    assert!(metrics[1].contains_key("benchmark/cruxeval-o/pass_at_1"));
    let answers =
        fs::read_to_string(w.path("run/evaluations/step_000003.cruxeval-o.jsonl")).unwrap();
    assert_eq!(answers.lines().count(), 3);
    let report = fs::read_to_string(w.path("run/report.md")).unwrap();
    assert!(report.contains("## Benchmarks") && report.contains("cruxeval-o |"), "{report}");

    // Going on where it ended takes none again.
    expect_code(&mut w.azr(&["train", "--resume", "run"]), 0);
    assert_eq!(w.metrics("run"), metrics);
    // The same from outside, with the options of the run's domain.
    let arguments = ["eval", "--run=run", "--suite=cruxeval-o", "--limit=3", "--out=e"];
    expect_code(&mut w.azr(&arguments), 0);
    let outside: Vec<Value> = records(&w.path("e"), "cruxeval-o");
    let inside: Vec<Value> =
        answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(outside, inside);
    let said = expect_code(&mut w.train("bad", &["--steps=1", "--set=eval.suites=['gsm8']"]), 2);
    assert!(stderr(&said).contains("did you mean `gsm8k`?"), "{}", stderr(&said));
    assert!(!w.path("bad").exists());
}

#[test]
fn a_model_behind_a_server_scores_what_it_scores_in_process() {
    let w = Workspace::new();
    let server = serve_nano();
    let common = ["--suite=heldout,cruxeval-o", "--limit=20", "--style=completion"];
    for (samples, name) in [("1", "greedy"), ("3", "sampled")] {
        let (here, there) = (format!("{name}-here"), format!("{name}-there"));
        let samples = ["--samples", samples];
        let arguments = [&["eval", "--model=nano", "--out", &here][..], &common, &samples].concat();
        expect_code(&mut w.azr(&arguments), 0);
        let arguments = [
            &["eval", "--against", &server.url, "--set=profile=nano", "--out", &there][..],
            &common,
            &samples,
            &["--api-key-env=AZR_TEST_KEY"],
        ];
        let mut command = w.azr(&arguments.concat());
        expect_code(command.env("AZR_TEST_KEY", "a-secret-key"), 0);
        for suite in ["heldout", "cruxeval-o"] {
            let [a, b] = [&here, &there].map(|run| records(&w.path(run), suite));
            assert_eq!(a, b, "{suite} {name}");
        }
    }
    let (head, _) = server.seen.lock().unwrap().pop().unwrap();
    assert!(head.contains("Bearer a-secret-key"), "{head}");
    for file in fs::read_dir(w.path("greedy-there")).unwrap() {
        let text = fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("a-secret-key"));
    }
}

#[test]
fn a_server_that_fails_loses_nothing_that_was_graded() {
    let w = Workspace::new();
    let n_calls = Mutex::new(0);
    let server = Loopback::new(Box::new(move |_, _| {
        let mut n_calls = n_calls.lock().unwrap();
        *n_calls += 1;
        // The eleventh request, of the third wave.
        if *n_calls == 11 {
            return http("403 Forbidden", "no more today");
        }
        http(
            "200 OK",
            r#"{"choices": [{"text": "1", "message": {"content": "1"}, "finish_reason": "stop"}]}"#,
        )
    }));
    let arguments =
        ["eval", "--server-model=m", "--concurrency=1", "--suite=heldout", "--limit=16", "--out=e"];
    let mut command = w.azr(&arguments);
    let said = stderr(&expect_code(command.args(["--against", &server.url]), 1));
    assert!(said.contains("no more today") && said.contains(&server.url), "{said}");
    assert!(said.contains("--resume"), "{said}");
    assert_eq!(records(&w.path("e"), "heldout").len(), 8);
    expect_code(&mut w.azr(&["eval", "--resume=e"]), 0);
    assert_eq!((records(&w.path("e"), "heldout").len(), server.n_seen()), (16, 8 + 3 + 8));
}

/// The built-in model behind the completions API.
fn serve_nano() -> Loopback {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../models/azr-nano");
    let mut host = Host::new();
    host.register_builtin(azr_tokenizer_hf::plugin_module()).unwrap();
    host.register_builtin(azr_backend_cpu::plugin_module()).unwrap();
    let tokenizer = host.create_tokenizer("hf", json!({"model": model})).unwrap();
    let (vocabulary, eos) = (tokenizer.vocabulary().unwrap(), tokenizer.info().eos);
    let spec = ModelSpec { path: model, vocabulary, eos, learns: false };
    let policy = host.create_backend("cpu", json!({})).unwrap().open(&spec).unwrap();
    let policy = Mutex::new(policy);
    Loopback::new(Box::new(move |head, body| {
        if head.starts_with("GET /v1/models ") {
            return http("200 OK", r#"{"data": [{"id": "nano"}]}"#);
        }
        assert!(head.starts_with("POST /v1/completions "), "{head}");
        let number = |key: &str| body[key].as_f64().unwrap() as f32;
        let text = body["prompt"].as_str().unwrap().to_owned();
        let mut prompt = tokenizer.encode(&[text], ControlTokens::AsText).unwrap().remove(0);
        prompt.splice(0..0, tokenizer.info().bos);
        let stop = body["stop"].as_array().into_iter().flatten();
        let sampling = Sampling {
            temperature: number("temperature"),
            top_p: number("top_p"),
            max_new_tokens: number("max_tokens") as u32,
            stop: stop.map(|stop| stop.as_str().unwrap().to_owned()).collect(),
        };
        let request =
            GenerateRequest { prompt, seeds: vec![body["seed"].as_u64().unwrap()], sampling };
        let mut answers = policy.lock().unwrap().generate(&[request], &Quiet, &Quiet).unwrap();
        let Completion { text, tokens, finish, .. } = answers.remove(0).remove(0);
        let is_cut = matches!(finish, FinishReason::Length | FinishReason::Context);
        let body = json!({
            "choices": [{"text": text, "finish_reason": if is_cut { "length" } else { "stop" }}],
            "usage": {"completion_tokens": tokens.len()},
        });
        http("200 OK", &body.to_string())
    }))
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until `log` has so many lines; fails when the child ends before or takes for ever.
fn wait_for_lines(log: &Path, n: usize, child: &mut Child) {
    let start = Instant::now();
    while fs::read_to_string(log).map_or(0, |text| text.lines().count()) < n {
        assert!(child.try_wait().unwrap().is_none(), "the evaluation ended before line {n}");
        assert!(start.elapsed() < PATIENCE, "no line {n} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
