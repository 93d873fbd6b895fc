//! Whole self-play runs of the tiny model: what they leave, and that a run is a function of its seed alone.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixtures::{Workspace, expect_code, stderr};

/// How long a helper process may take before a test calls it hung.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn a_run_trains_and_leaves_a_complete_folder() {
    let w = Workspace::new();
    let output = expect_code(&mut w.train("run", &["--steps=2"]), 0);
    let metrics = w.metrics("run");
    assert_eq!(metrics.len(), 3);
    assert!(metrics[0]["step"] == 0 && metrics[0].contains_key("seed/rounds"), "{:?}", metrics[0]);
    for line in &metrics[1..] {
        assert!(line["update/grad_norm"].as_f64().unwrap() > 0.0, "{line:?}");
        assert!(line["update/loss"].as_f64().unwrap().is_finite());
        assert!(line.contains_key("solve/code/deduction/accuracy"));
        assert!(line.contains_key("propose/code/induction/valid_rate"));
    }
    let rollouts = std::fs::read_to_string(w.path("run/rollouts/step_000002.jsonl")).unwrap();
    let first: Value = serde_json::from_str(rollouts.lines().next().unwrap()).unwrap();
    assert!(!first["prompt"].as_str().unwrap().is_empty(), "{first}");
    for file in [
        "config.toml",
        "buffers/tasks.jsonl",
        "checkpoints/latest",
        "checkpoints/global_step_2/config.json",
        "checkpoints/global_step_2/model.safetensors",
        "checkpoints/global_step_2/optimizer.safetensors",
        "checkpoints/global_step_2/tokenizer.json",
    ] {
        assert!(w.path("run").join(file).is_file(), "{file} is missing\n{}", stderr(&output));
    }
}

#[test]
fn the_weights_move_and_a_checkpoint_is_a_model() {
    let w = Workspace::new();
    expect_code(&mut w.train("run", &["--steps=1"]), 0);
    let before = std::fs::read(w.path("model/model.safetensors")).unwrap();
    let after = std::fs::read(w.path("run/checkpoints/global_step_1/model.safetensors")).unwrap();
    assert_eq!(payload(&before).len(), payload(&after).len());
    assert_ne!(payload(&before), payload(&after));
    let checkpoint = w.path("run/checkpoints/global_step_1");
    let mut again =
        w.azr(&["train", "--run-dir", "second", "--steps=1", "--set=selfplay.batch_size=1"]);
    expect_code(again.arg("--model").arg(checkpoint), 0);
}

#[test]
fn the_same_seed_gives_the_same_run_on_any_number_of_threads() {
    let w = Workspace::new();
    expect_code(&mut w.train("one", &["--steps=2", "--set=backend.options.threads=1"]), 0);
    expect_code(&mut w.train("three", &["--steps=2", "--set=backend.options.threads=3"]), 0);
    expect_code(&mut w.train("other", &["--steps=2", "--seed=7"]), 0);
    assert_eq!(w.metrics("one"), w.metrics("three"));
    assert_same_results(&w.path("one"), &w.path("three"), 2);
    assert_ne!(w.metrics("one"), w.metrics("other"));
}

#[test]
fn checks_beside_their_waves_change_nothing_but_the_time() {
    let w = Workspace::new();
    held_out_set(&w);
    for overlap in ["always", "never", "auto"] {
        let overlap_is = format!("--set=selfplay.overlap='{overlap}'");
        let settings = [&EVALUATED[..], &["--steps=3", &overlap_is]];
        expect_code(&mut w.train(overlap, &settings.concat()), 0);
    }
    assert_eq!(w.metrics("always"), w.metrics("never"));
    assert_same_results(&w.path("always"), &w.path("never"), 3);
    let is_overlapped = |run: &str| {
        let text = std::fs::read_to_string(w.path(run).join("metrics.jsonl")).unwrap();
        text.lines().last().unwrap().contains("time/validate_overlapped_s")
    };
    assert_eq!(["always", "never", "auto"].map(is_overlapped), [true, false, false]);
}

#[test]
fn a_resumed_run_equals_one_that_was_not_interrupted() {
    let w = Workspace::new();
    expect_code(&mut w.train("whole", &["--steps=4"]), 0);
    expect_code(&mut w.train("parts", &["--steps=2"]), 0);
    expect_code(&mut w.azr(&["train", "--resume", "parts", "--steps=4"]), 0);
    assert_eq!(w.metrics("whole"), w.metrics("parts"));
    assert_same_results(&w.path("whole"), &w.path("parts"), 4);
}

#[test]
fn the_reference_of_a_resumed_run_is_the_first_model() {
    let w = Workspace::new();
    let divergence = "--set=optimizer.options.kl_coef=0.1";
    expect_code(&mut w.train("whole", &["--steps=3", divergence]), 0);
    expect_code(&mut w.train("parts", &["--steps=2", divergence]), 0);
    expect_code(&mut w.azr(&["train", "--resume", "parts", "--steps=3"]), 0);
    assert_eq!(w.metrics("whole"), w.metrics("parts"));
    assert!(w.metrics("whole")[2]["update/kl"].as_f64().unwrap() > 0.0);
    assert_same_results(&w.path("whole"), &w.path("parts"), 3);
}

#[test]
fn a_run_killed_in_the_middle_of_a_step_ends_with_the_same_bits() {
    let w = Workspace::new();
    let settings = ["--steps=6", "--save-every=2"];
    expect_code(&mut w.train("whole", &settings), 0);
    let mut child = start(&mut w.train("killed", &settings));
    // After the third step's line the fourth is under way, and the newest checkpoint is that of the second.
    wait_for_step(&w.path("killed/metrics.jsonl"), 3, &mut child);
    let workers = children_of(child.id());
    assert!(!workers.is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for_end(&workers);
    expect_code(&mut w.azr(&["train", "--resume", "killed"]), 0);
    assert_eq!(w.metrics("whole"), w.metrics("killed"));
    assert_same_results(&w.path("whole"), &w.path("killed"), 6);
}

#[test]
fn ctrl_c_finishes_the_step_saves_and_exits_3() {
    let w = Workspace::new();
    let subjects = held_out_set(&w);
    let settings = [&EVALUATED[..], &["--steps=1000", "--save-every=1000"]].concat();
    let mut child = start(&mut w.train("run", &settings));
    wait_for_step(&w.path("run/metrics.jsonl"), 1, &mut child);
    let workers = children_of(child.id());
    let interrupt = Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(interrupt.success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3));
    wait_for_end(&workers);
    let newest = || w.metrics("run").pop().unwrap();
    let step = newest()["step"].as_u64().unwrap();
    let latest = std::fs::read_to_string(w.path("run/checkpoints/latest")).unwrap();
    assert_eq!(latest, format!("global_step_{step}"));
    let ends_at = |step: u64| {
        let steps = step.to_string();
        expect_code(&mut w.azr(&["train", "--resume", "run", "--steps", &steps]), 0);
        let line = newest();
        assert_eq!(line["step"].as_u64(), Some(step));
        assert_eq!(line["unseen/n_tasks"], subjects.len() as f64, "every end asks all tasks");
    };
    ends_at(step);
    ends_at(step + 1);
}

#[test]
fn an_existing_run_is_never_overwritten_and_never_shared() {
    let w = Workspace::new();
    expect_code(&mut w.train("run", &["--steps=1"]), 0);
    let before = std::fs::read(w.path("run/metrics.jsonl")).unwrap();
    let output = expect_code(&mut w.train("run", &["--steps=1"]), 1);
    assert!(stderr(&output).contains("--resume run"), "{}", stderr(&output));
    assert_eq!(std::fs::read(w.path("run/metrics.jsonl")).unwrap(), before);

    let mut child = start(&mut w.azr(&["train", "--resume", "run", "--steps=1000"]));
    wait_for_step(&w.path("run/metrics.jsonl"), 2, &mut child);
    let output = expect_code(&mut w.azr(&["train", "--resume", "run", "--steps=1000"]), 1);
    assert!(stderr(&output).contains("another process"), "{}", stderr(&output));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Writes a set of two held-out tasks of each kind, and one of them as a set of its own whose name comes before;
/// returns what they are about.
fn held_out_set(w: &Workspace) -> Vec<String> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/heldout/heldout.jsonl");
    let text = std::fs::read_to_string(all).unwrap();
    let (mut chosen, mut subjects) = (String::new(), Vec::new());
    for kind in ["deduction", "abduction", "induction"] {
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        for line in text.lines().filter(|line| parse(line)["kind"] == kind).take(2) {
            subjects.push(parse(line)["task"]["subject"].as_str().unwrap().to_owned());
            chosen.extend([line, "\n"]);
        }
    }
    let (first, _) = chosen.split_once('\n').unwrap();
    std::fs::write(w.path("also.jsonl"), first).unwrap();
    std::fs::write(w.path("unseen.jsonl"), chosen.trim_end()).unwrap();
    subjects
}

const EVALUATED: [&str; 3] = [
    "--set=eval.sets=['unseen.jsonl', 'also.jsonl']",
    "--set=eval.every=2",
    "--set=eval.tasks_per_kind=1",
];

#[test]
fn a_run_is_evaluated_at_the_start_on_the_way_and_at_the_end() {
    let w = Workspace::new();
    let subjects = held_out_set(&w);
    assert_eq!(subjects.len(), 6);
    let settings = [&EVALUATED[..], &["--steps=3"]].concat();
    let output = expect_code(&mut w.train("run", &settings), 0);
    let text = stderr(&output);
    let last = text.lines().last().unwrap();
    assert!(last.contains("done: unseen") && last.contains("→"), "{text}");
    assert!(last.ends_with("report in run/report.md"), "{text}");
    let metrics = w.metrics("run");
    let n_tasks = |name: &str| -> Vec<Option<f64>> {
        metrics.iter().map(|line| line.get(name).map(|n| n.as_f64().unwrap())).collect()
    };
    let (all, part) = (Some(subjects.len() as f64), Some(3.0));
    // Seeding, the evaluation before the first step, three steps.
    assert_eq!(n_tasks("unseen/n_tasks"), [None, all, None, None, all]);
    assert_eq!(n_tasks("unseen/part/n_tasks"), [None, part, None, part, part]);
    assert_eq!(metrics[1]["step"], 0);
    assert!(metrics[4].contains_key("unseen/solve_rate_mean"));
    assert!(metrics[4].contains_key("heldout/code/deduction/blocked"));
    let answers = std::fs::read_to_string(w.path("run/evaluations/step_000003.jsonl")).unwrap();
    assert_eq!(answers.lines().count(), subjects.len() + 1);
    for file in ["report.md", "learning.svg", "evaluations/step_000000.jsonl"] {
        assert!(w.path("run").join(file).is_file(), "{file}");
    }
    // What lies under the same name now is another set.
    let one = std::fs::read_to_string(w.path("also.jsonl")).unwrap();
    std::fs::write(w.path("unseen.jsonl"), one).unwrap();
    let output = expect_code(&mut w.azr(&["train", "--resume", "run", "--steps=4"]), 1);
    assert!(stderr(&output).contains("another held-out set `unseen`"), "{}", stderr(&output));
}

#[test]
fn what_is_held_out_is_never_trained_on() {
    let w = Workspace::new();
    expect_code(&mut w.train("free", &["--steps=1"]), 0);
    let seeds = std::fs::read_to_string(w.path("free/buffers/tasks.jsonl")).unwrap();
    assert_eq!(seeds.lines().count(), 3, "random text never makes a program");
    // The seeds of all kinds are about one program, so one of them keeps all of them out.
    std::fs::write(w.path("identity.jsonl"), seeds.lines().next().unwrap()).unwrap();
    let settings = ["--steps=2", "--set=eval.sets=['identity.jsonl']", "--set=eval.every=0"];
    expect_code(&mut w.train("run", &settings), 0);
    let seeding = w.metrics("run").remove(0);
    for kind in ["deduction", "abduction", "induction"] {
        assert_eq!(seeding[&format!("heldout/code/{kind}/blocked")], 1.0);
    }
    let buffered = std::fs::read_to_string(w.path("run/buffers/tasks.jsonl"));
    assert!(buffered.map_or(true, |text| text.is_empty()));
}

#[test]
fn evaluating_changes_no_weight_and_survives_a_kill() {
    let w = Workspace::new();
    held_out_set(&w);
    let settings = [&EVALUATED[..], &["--steps=5", "--save-every=2"]].concat();
    expect_code(&mut w.train("whole", &settings), 0);
    let never = [&settings[..], &["--set=eval.every=0"]].concat();
    expect_code(&mut w.train("never", &never), 0);
    assert_same_results(&w.path("whole"), &w.path("never"), 5);
    let mut child = start(&mut w.train("killed", &settings));
    wait_for_step(&w.path("killed/metrics.jsonl"), 3, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    expect_code(&mut w.azr(&["train", "--resume", "killed"]), 0);
    assert_eq!(w.metrics("whole"), w.metrics("killed"));
    assert_same_results(&w.path("whole"), &w.path("killed"), 5);
    for file in ["report.md", "checkpoints/global_step_5/state.json"] {
        let read = |run: &str| std::fs::read_to_string(w.path(run).join(file)).unwrap();
        let steady = |text: String| {
            let lines =
                text.lines().filter(|line| !line.contains("time") && !line.contains("# Run"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(steady(read("whole")), steady(read("killed")), "{file}");
    }
}

#[test]
fn alarms_are_said_and_written_down() {
    let w = Workspace::new();
    // Random text never makes a program, so nothing is ever learnable.
    let output = expect_code(&mut w.train("run", &["--steps=3"]), 0);
    let text = stderr(&output);
    let said = "alarm (learnability): no proposal of kind code/abduction of the last 3 steps";
    assert!(text.contains(said), "{text}");
    let alarms = std::fs::read_to_string(w.path("run/alarms.jsonl")).unwrap();
    let alarm: Value = serde_json::from_str(alarms.lines().next().unwrap()).unwrap();
    assert_eq!((&alarm["step"], &alarm["name"]), (&3.into(), &"learnability".into()));
    let report = std::fs::read_to_string(w.path("run/report.md")).unwrap();
    assert!(report.contains("step 3, learnability"), "{report}");
}

/// The state, parent and start of every process, from `/proc`.
fn processes() -> impl Iterator<Item = (u32, [String; 3])> {
    let read = |entry: std::fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        Some((id, [0, 1, 19].map(|index: usize| fields[index].to_owned())))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(read)
}

/// The processes that `parent` started, each with the time of its start.
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let parent = parent.to_string();
    processes()
        .filter(|(_, [_, by, _])| *by == parent)
        .map(|(id, [_, _, start])| (id, start))
        .collect()
}

/// Waits until none of the processes is left.
fn wait_for_end(gone: &[(u32, String)]) {
    let began = Instant::now();
    let is_left = |(id, [state, _, start]): (u32, [String; 3])| {
        state != "Z" && gone.iter().any(|(other, time)| *other == id && *time == start)
    };
    while processes().any(is_left) {
        assert!(began.elapsed() < PATIENCE, "a worker outlived its trainer");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until `metrics` has the line of `step`; fails when the child ends before or takes for ever.
fn wait_for_step(metrics: &Path, step: u64, child: &mut Child) {
    let start = Instant::now();
    let line = format!("{{\"step\":{step},");
    while !std::fs::read_to_string(metrics).is_ok_and(|text| text.contains(&line)) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before step {step}");
        assert!(start.elapsed() < PATIENCE, "no step {step} after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Rollouts, admitted tasks and final weights with optimizer state are equal to the bit.
fn assert_same_results(a: &Path, b: &Path, steps: u64) {
    let mut files = vec!["buffers/tasks.jsonl".to_owned()];
    files.extend((1..=steps).map(|step| format!("rollouts/step_{step:06}.jsonl")));
    files.extend(
        ["model", "optimizer"]
            .map(|name| format!("checkpoints/global_step_{steps}/{name}.safetensors")),
    );
    for file in files {
        let [left, right] = [a, b].map(|run| std::fs::read(run.join(&file)).unwrap());
        assert!(left == right, "{file} differs");
    }
}

/// The tensor data of a safetensors file.
fn payload(bytes: &[u8]) -> &[u8] {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    &bytes[8 + header..]
}
