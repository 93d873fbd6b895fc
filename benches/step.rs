//! Steps of self-play with the built-in model: whether they stay as fast as they were, and what they spend outside
//! generation, execution and update.
//!
//! `cargo xtask bench step [STEPS]`. The learning rate is 0, so that every step has the same work on the average: a
//! model that learns writes longer answers. Steps have a third of the profile's tasks, and weigh what does not grow
//! with them three times as much.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends at its first surprise and prints what it measured"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use azr_run::MetricsLine;

/// Steps at either end that are compared, after as many to warm up.
const WINDOW: usize = 20;

fn main() {
    let argument = std::env::args().skip(1).find(|text| !text.starts_with("--"));
    let n_steps: usize = argument.map_or(200, |text| text.parse().unwrap());
    assert!(n_steps >= 3 * WINDOW, "{n_steps} steps are too few, {} are needed", 3 * WINDOW);
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let status = Command::new(env!("CARGO_BIN_EXE_azr"))
        .args(["train", "--steps", &n_steps.to_string(), "--run-dir"])
        .arg(&run)
        .args(["--set", "optimizer.options.learning_rate=0.0", "--set", "eval.sets=[]"])
        .args(["--set", "selfplay.batch_size=16"])
        .status()
        .unwrap();
    assert!(status.success());
    let lines = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines: Vec<MetricsLine> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<&MetricsLine> = lines.iter().filter(|line| line.step > 0).collect();
    let seconds = |line: &MetricsLine| line.metrics["time/step_s"];
    let phases = |line: &MetricsLine| -> f64 {
        let phases = line.metrics.iter().filter(|(name, _)| {
            let is_part = *name != "time/step_s" && !name.ends_with("_overlapped_s");
            name.starts_with("time/") && name.ends_with("_s") && is_part
        });
        phases.map(|(_, seconds)| seconds).sum()
    };
    let mean = |lines: &[&MetricsLine]| {
        lines.iter().map(|line| seconds(line)).sum::<f64>() / lines.len() as f64
    };
    let (early, late) = (mean(&lines[WINDOW..2 * WINDOW]), mean(&lines[lines.len() - WINDOW..]));
    let total: f64 = lines.iter().map(|line| seconds(line)).sum();
    let inside: f64 = lines.iter().map(|line| phases(line)).sum();
    let text = format!(
        "## step\n\n\
         * steps {WINDOW} to {}: {early:.3} s each\n\
         * the last {WINDOW} of {n_steps}: {late:.3} s each, {:.3} of that\n\
         * outside the phases: {:.2} % of {total:.0} s\n",
        2 * WINDOW,
        late / early,
        100.0 * (1.0 - inside / total)
    );
    println!("{text}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bench");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("step.md"), text).unwrap();
}
