//! One small step of the real SmolLM2-135M, when it has been pulled.

use std::process::Command;

use crate::fixtures::{Workspace, expect_code, stderr, stdout};

#[test]
fn smollm2_proposes_solves_and_learns() {
    let azr = || Command::new(env!("CARGO_BIN_EXE_azr"));
    let inspection = azr().args(["model", "inspect", "smollm2-135m"]).output().unwrap();
    if stderr(&inspection).contains("no model `smollm2-135m`") {
        assert!(std::env::var_os("AZR_REQUIRE_MODELS").is_none(), "{}", stderr(&inspection));
        return println!("skipped: run `cargo xtask model pull smollm2-135m` first");
    }
    assert!(stdout(&inspection).contains("134.5 M"), "{}", stderr(&inspection));
    let w = Workspace::new();
    let mut train = azr();
    train.args(["train", "--offline", "--model=smollm2-135m", "--steps=1", "--run-dir=run"]);
    train.args(["--set=selfplay.batch_size=2", "--set=selfplay.learnability_samples=2"]);
    train.args([
        "--set=selfplay.kinds=['deduction']",
        "--set=domains.code.max_new_tokens.propose=48",
    ]);
    expect_code(train.current_dir(w.path(".")), 0);
    let metrics = &w.metrics("run")[1];
    assert!(metrics["update/grad_norm"].as_f64().unwrap() > 0.0, "{metrics:?}");
    assert!(metrics["update/logprob_gap_max"].as_f64().unwrap() < 1e-3, "{metrics:?}");
    let rollouts = std::fs::read_to_string(w.path("run/rollouts/step_000001.jsonl")).unwrap();
    assert!(rollouts.lines().count() >= 4, "{rollouts}");
}
