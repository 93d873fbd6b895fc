//! Other people's plugins: the examples, and what `cargo xtask new-plugin` writes, built as their authors build them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixtures::{Workspace, expect_code, stdout};

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Where this test and `azr` were built.
fn target() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_azr")).ancestors().nth(2).unwrap().to_owned()
}

/// Cargo in `folder`. All plugins share a target directory, as `cargo xtask examples` has it: they have the same
/// dependencies.
fn cargo(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder).env("CARGO_TARGET_DIR", target().join("examples"));
    expect_code(command.args(arguments).env_remove("CARGO_BUILD_TARGET"), 0);
}

/// The file of a plugin that was built.
fn plugin(name: &str) -> String {
    let file = target().join("examples/release").join(format!("lib{name}.so"));
    assert!(file.is_file(), "{} was not built", file.display());
    file.to_str().unwrap().to_owned()
}

/// Domain, phase and `ok` or the verdict of each rollout of the first step of `run`.
fn rollouts(w: &Workspace, run: &str) -> BTreeSet<(String, String, String)> {
    let text = std::fs::read_to_string(w.path(run).join("rollouts/step_000001.jsonl")).unwrap();
    let fields = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let [domain, phase, reason] =
            ["domain", "phase", "reason"].map(|name| line[name].as_str().unwrap().to_owned());
        (domain, phase, reason)
    };
    text.lines().map(fields).collect()
}

/// `azr train` for one step of the built-in model.
fn train(w: &Workspace, run: &str, arguments: &[&str]) {
    let mut command = w.azr(&["train", "--steps=1", "--set=eval.sets=[]", "--run-dir", run]);
    expect_code(command.args(arguments), 0);
}

#[test]
#[ignore = "slow: builds the examples, SQLite among them, and trains"]
fn slow_examples_are_used_by_name_in_a_step_of_self_play() {
    cargo(&root().join("examples"), &["build", "--release", "--locked"]);
    let w = Workspace::new();
    let [regex, sql, custom] =
        ["azr_domain_regex", "azr_domain_sql", "azr_optimizer_custom"].map(plugin);
    for file in [&regex, &sql, &custom] {
        expect_code(&mut w.azr(&["plugins", "check", file]), 0);
    }
    train(&w, "domains", &["--domain=regex,sql", "--plugin", &regex, "--plugin", &sql]);
    let seen = rollouts(&w, "domains");
    for domain in ["regex", "sql"] {
        for phase in ["propose", "solve"] {
            let is_there = seen.iter().any(|(d, p, _)| (d.as_str(), p.as_str()) == (domain, phase));
            assert!(is_there, "{domain} {phase}: {seen:?}");
        }
    }
    train(&w, "optimizer", &["--optimizer=shrunken", "--plugin", &custom]);
    // The first line is that of the seed tasks.
    let metrics = &w.metrics("optimizer")[1];
    assert!(metrics["update/grad_norm"].as_f64().unwrap() > 0.0, "{metrics:?}");
}

#[test]
#[ignore = "slow: builds and tests a plugin of each kind, and trains"]
fn slow_new_plugins_of_every_kind_pass_their_tests_and_are_loaded() {
    let w = Workspace::new();
    let kinds = ["tokenizer", "backend", "executor", "domain", "optimizer"];
    let mut arguments = vec!["plugins".to_owned(), "list".to_owned(), "--format=json".to_owned()];
    for kind in kinds {
        let folder = w.path(kind);
        let mut xtask = Command::new(env!("CARGO"));
        xtask.current_dir(root()).env("CARGO_TARGET_DIR", target());
        xtask.args(["xtask", "new-plugin", &format!("new-{kind}"), "--kind", kind, "--path"]);
        expect_code(xtask.arg(&folder), 0);
        cargo(&folder, &["fmt", "--check"]);
        cargo(&folder, &["test", "--release"]);
        cargo(&folder, &["build", "--release"]);
        arguments.extend(["--plugin".to_owned(), plugin(&format!("new_{kind}"))]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let listing = stdout(&expect_code(&mut w.azr(&arguments), 0));
    for kind in kinds {
        assert!(listing.contains(&format!("\"new-{kind}\"")), "{listing}");
        // The new executor keeps what another one answered, which has to run Python.
        expect_code(&mut w.azr(&["plugins", "check", &plugin(&format!("new_{kind}"))]), 0);
    }
    let [domain, optimizer, executor, backend] =
        ["domain", "optimizer", "executor", "backend"].map(|kind| plugin(&format!("new_{kind}")));
    train(&w, "sums", &["--domain=new-domain", "--plugin", &domain]);
    let valid = ("new-domain".to_owned(), "propose".to_owned(), "ok".to_owned());
    let seen = rollouts(&w, "sums");
    assert!(seen.contains(&valid), "the built-in model proposes no sum: {seen:?}");
    let others = ["--optimizer=new-optimizer", "--executor=new-executor", "--backend=new-backend"];
    let files = ["--plugin", &optimizer, "--plugin", &executor, "--plugin", &backend];
    train(&w, "others", &[&others[..], &files].concat());
}
