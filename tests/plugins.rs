//! Every engine built in, and every engine loaded from a file, are the same engines.

use std::path::PathBuf;

use crate::fixtures::{Workspace, expect_code, stdout};

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
