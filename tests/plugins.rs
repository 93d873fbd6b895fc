//! Every engine built in, and every engine loaded from a file, are the same engines.

use std::path::PathBuf;

use crate::built::built;
use crate::fixtures::{Workspace, expect_code, stderr, stdout};

/// The plugin files that were built beside the binary under test.
fn plugin_files() -> Vec<String> {
    [
        "tokenizer_hf",
        "backend_cpu",
        "backend_cuda",
        "executor_auto",
        "executor_cpython",
        "executor_monty",
        "domain_code",
        "domain_math",
        "rl_policy_gradient",
    ]
    .into_iter()
    .map(plugin_file)
    .collect()
}

/// The file of one plugin.
pub(crate) fn plugin_file(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_BIN_EXE_azr")).parent().unwrap().join("deps");
    let file = folder.join(format!("libazr_{name}.so"));
    assert!(file.is_file(), "{} was not built", file.display());
    file.to_str().unwrap().to_owned()
}

#[test]
fn two_steps_give_identical_metrics_built_in_and_loaded() {
    let w = Workspace::new();
    expect_code(&mut w.train("builtin", &["--steps=2"]), 0);
    let mut loaded = w.train("loaded", &["--steps=2"]);
    for file in plugin_files() {
        loaded.args(["--plugin", &file]);
    }
    expect_code(&mut loaded, 0);
    assert_eq!(w.metrics("builtin"), w.metrics("loaded"));
    for file in ["rollouts/step_000002.jsonl", "checkpoints/global_step_2/model.safetensors"] {
        let [a, b] =
            ["builtin", "loaded"].map(|run| std::fs::read(w.path(run).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
}

#[test]
fn the_list_tells_built_in_engines_from_loaded_ones() {
    let w = Workspace::new();
    let builtin = stdout(&expect_code(&mut w.azr(&["plugins", "list"]), 0));
    for kind in ["tokenizer", "backend", "executor", "domain", "optimizer"] {
        assert!(
            builtin.lines().any(|line| line.starts_with(kind) && line.contains("built in")),
            "{builtin}"
        );
    }
    let files = plugin_files();
    let mut arguments = vec!["plugins", "list", "--format=json"];
    arguments.extend(files.iter().flat_map(|file| ["--plugin", file]));
    let listing = stdout(&expect_code(&mut w.azr(&arguments), 0));
    let engines: Vec<serde_json::Value> = serde_json::from_str(&listing).unwrap();
    assert_eq!(engines.len(), 9, "{listing}");
    for engine in engines {
        let origin = engine["origin"].as_str().unwrap();
        assert!(files.iter().any(|file| file == origin), "{engine}");
    }
}

#[test]
fn a_run_finds_its_plugins_again_from_another_folder() {
    let w = Workspace::new();
    std::fs::copy(plugin_files().last().unwrap(), w.path("optimizer.so")).unwrap();
    expect_code(w.train("run", &["--steps=1"]).args(["--plugin", "optimizer.so"]), 0);
    let elsewhere = w.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let mut resume = w.azr(&["train", "--resume=../run", "--steps=2"]);
    expect_code(resume.current_dir(elsewhere), 0);
}

/// Every engine of ours keeps the promises of its kind, from its file as a third party's would be checked.
#[test]
fn our_plugins_pass_the_conformance_kit() {
    let w = Workspace::new();
    for file in plugin_files() {
        let table = stdout(&expect_code(&mut w.azr(&["plugins", "check", &file]), 0));
        assert!(table.contains("ok       manifest, layout and loading"), "{table}");
        assert!(table.ends_with(" skipped\n") && table.contains(" 0 failed, "), "{table}");
    }
}

#[test]
fn a_built_in_engine_is_checked_by_name() {
    let w = Workspace::new();
    let engine = ["plugins", "check", "--engine=optimizer/policy-gradient"];
    let table = stdout(&expect_code(&mut w.azr(&engine), 0));
    assert!(table.starts_with("optimizer policy-gradient\nok       description\n"), "{table}");
    let json = stdout(&expect_code(w.azr(&engine).arg("--format=json"), 0));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["passed"], true);
    assert_eq!(json["subjects"][0]["checks"][0]["outcome"], "passed");
    for wrong in [
        &["plugins", "check"][..],
        &["plugins", "check", "--engine=domain"],
        &["plugins", "check", "no.so"],
    ] {
        expect_code(&mut w.azr(wrong), 2);
    }
}

fn bad_plugin() -> String {
    built().join("libazr_fixture_bad.so").to_str().unwrap().to_owned()
}

#[test]
fn a_bad_plugin_fails_its_check() {
    let (w, file) = (Workspace::new(), bad_plugin());
    expect_code(&mut w.azr(&["plugins", "check", &file]), 0);
    for (fault, line) in [
        ("panic", "panicked: it will not grade"),
        ("hang", "timed out: it did not end within 20 s"),
        ("invalid-utf8", "is no UTF-8"),
        ("giant-output", "is no short word group"),
        ("nan-score", "which is not between 0 and 1"),
        ("no-key", "has no key"),
    ] {
        let mut check = w.azr(&["plugins", "check", &file, "--timeout=20"]);
        let table = stdout(&expect_code(check.env("AZR_BAD_PLUGIN", fault), 1));
        assert!(
            table.lines().any(|l| l.starts_with("FAILED") && l.contains(line)),
            "{fault}: {table}"
        );
        assert!(table.len() < 20_000, "{fault}: the table has {} bytes", table.len());
    }
    let text = w.path("text.so");
    std::fs::write(&text, "no library").unwrap();
    let table = stdout(&expect_code(&mut w.azr(&["plugins", "check", text.to_str().unwrap()]), 1));
    assert!(
        table.contains("FAILED   manifest, layout and loading")
            && table.contains("not an ELF file"),
        "{table}"
    );
}

/// The run ends with the plugin's name and goes on from what it had once the plugin is mended.
#[test]
fn a_run_with_a_plugin_that_turns_bad_keeps_what_it_had() {
    let (w, file) = (Workspace::new(), bad_plugin());
    let plugin = ["--plugin", file.as_str()];
    expect_code(w.train("run", &["--domain=bad", "--steps=1"]).args(plugin), 0);
    let before = w.metrics("run");
    for (fault, message) in [
        ("panic", "domain `bad` of plugin `azr-fixture-bad` panicked: it will not grade"),
        ("wrong-number", "domain `bad` of plugin `azr-fixture-bad` answered with"),
        (
            "invalid-utf8",
            "domain `bad` of plugin `azr-fixture-bad` answered what cannot be read: a text is no UTF-8",
        ),
        ("no-key", "domain bad broke its contract: a task of kind double has no key"),
    ] {
        let mut resumed = w.azr(&["train", "--resume=run", "--steps=2"]);
        let output = expect_code(resumed.env("AZR_BAD_PLUGIN", fault), 1);
        assert!(stderr(&output).contains(message), "{fault}: {}", stderr(&output));
        assert_eq!(w.metrics("run"), before, "{fault}");
    }
    expect_code(&mut w.azr(&["train", "--resume=run", "--steps=2"]), 0);
    let after = w.metrics("run");
    assert_eq!((&after[..before.len()], after.len()), (&before[..], before.len() + 1));
}
