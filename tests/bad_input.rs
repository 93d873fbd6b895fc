//! Bad input ends with a message that names the thing and the way out, and loses nothing.

use std::fs;
use std::process::{Command, Output};

use crate::fixtures::{Workspace, expect_code, stderr, stdout};

/// Runs `azr` and returns what it said; it must fail with `code`.
#[track_caller]
fn failure(w: &Workspace, arguments: &[&str], code: i32) -> String {
    stderr(&expect_code(&mut w.azr(arguments), code))
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn an_unknown_configuration_key() {
    let w = Workspace::new();
    let text = failure(&w, &["train", "--model=model", "--set=selfplay.bach_size=2"], 2);
    assert_says(&text, &["bach_size", "hint:"]);
    let text =
        failure(&w, &["train", "--model=model", "--set=optimizer.options.lerning_rate=2"], 2);
    assert_says(&text, &["lerning_rate", "policy-gradient"]);
    fs::write(w.path("c.toml"), "stepz = 3\n").unwrap();
    let text = failure(&w, &["train", "--model=model", "--config=c.toml"], 2);
    assert_says(&text, &["stepz"]);
}

#[test]
fn an_unknown_engine_names_those_there_are() {
    let w = Workspace::new();
    let text = failure(&w, &["train", "--model=model", "--backend=abacus"], 2);
    assert_says(&text, &["abacus", "cpu"]);
}

#[test]
fn a_model_that_does_not_exist() {
    let w = Workspace::new();
    let text = failure(&w, &["train", "--model=no-such-model"], 1);
    assert_says(&text, &["no-such-model", "hint:"]);
}

#[test]
fn a_model_folder_without_a_configuration() {
    let w = Workspace::new();
    fs::remove_file(w.path("model/config.json")).unwrap();
    assert_says(&failure(&w, &["train", "--model=model"], 1), &["config.json"]);
}

#[test]
fn truncated_and_hostile_weights() {
    let w = Workspace::new();
    let file = w.path("model/model.safetensors");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_says(&failure(&w, &["train", "--model=model"], 1), &["model.safetensors"]);
    let mut absurd = whole;
    absurd[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&file, absurd).unwrap();
    assert_says(&failure(&w, &["train", "--model=model"], 1), &["model.safetensors"]);
    fs::write(
        w.path("bad.gguf"),
        b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0",
    )
    .unwrap();
    assert_says(&failure(&w, &["train", "--model=bad.gguf"], 1), &["bad.gguf"]);
}

#[test]
fn a_file_that_is_no_plugin() {
    let w = Workspace::new();
    fs::write(w.path("notes.so"), "these are notes").unwrap();
    assert_says(&failure(&w, &["plugins", "list", "--plugin=notes.so"], 2), &["notes.so"]);
    assert_says(&failure(&w, &["plugins", "list", "--plugin=missing.so"], 2), &["missing.so"]);
}

#[test]
fn held_out_sets_that_cannot_be_used() {
    let w = Workspace::new();
    let train = |set: &str| {
        let sets = format!("--set=eval.sets=['{set}']");
        expect_code(
            &mut w.train("run", &["--steps=1", &sets]),
            if set == "torn.jsonl" { 1 } else { 2 },
        )
    };
    assert_says(&stderr(&train("nowhere")), &["`nowhere`", "eval.sets"]);
    fs::write(w.path("torn.jsonl"), "{}\n").unwrap();
    assert_says(&stderr(&train("torn.jsonl")), &["torn.jsonl", "line 1"]);
    let entry = |domain: &str, subject: &str| {
        format!(
            "{{\"domain\":\"{domain}\",\"kind\":\"deduction\",\"step\":0,\"task\":{{\"kind\":\"deduction\",\
             \"key\":\"k\",\"subject\":\"{subject}\",\"payload\":\"{{}}\"}}}}\n"
        )
    };
    fs::write(w.path("alien.jsonl"), entry("riddles", "s")).unwrap();
    assert_says(&stderr(&train("alien.jsonl")), &["riddles", "hint:"]);
    fs::write(w.path("blank.jsonl"), entry("code", "")).unwrap();
    assert_says(&stderr(&train("blank.jsonl")), &["no subject"]);
    assert!(!w.path("run").exists(), "what is refused leaves no run behind");
}

#[test]
fn a_machine_without_python() {
    let w = Workspace::new();
    // The full executor alone cannot start, `auto` does with the embedded one and says so.
    let mut full =
        w.train("full", &["--executor=cpython", "--set=executor.options.python=/nowhere/python3"]);
    let text = stderr(&expect_code(&mut full, 1));
    assert_says(&text, &["/nowhere/python3", "hint:"]);
    let python = "--set=executor.options.full.options.python=/nowhere/python3";
    let text = stderr(&expect_code(&mut w.train("auto", &["--steps=1", python]), 0));
    assert_says(&text, &["warning", "without executor-cpython"]);
}

#[test]
fn a_refused_configuration_leaves_no_run_behind() {
    let w = Workspace::new();
    let mut wrong = w.train("run", &["--steps=1", "--set=selfplay.kinds=['riddle']"]);
    assert_says(&stderr(&expect_code(&mut wrong, 2)), &["riddle"]);
    expect_code(&mut w.train("run", &["--steps=1"]), 0);
    assert_says(&failure(&w, &["train", "--resume=run", "--steps=0"], 2), &["steps"]);
    expect_code(&mut w.azr(&["train", "--resume=run", "--steps=2"]), 0);
}

#[test]
fn a_full_disk_loses_no_earlier_checkpoint() {
    let w = Workspace::new();
    // A file system of the test's own, in a mount namespace. Room is left for the logs, not for a model.
    fs::create_dir(w.path("disk")).unwrap();
    let script = r#"
        mount -t tmpfs -o size=8m tmpfs disk || exit 77
        "$AZR" train --model model --run-dir disk/run --steps 1 $SETTINGS || exit 10
        head -c 100000000 /dev/zero > disk/filler 2> disk.txt
        truncate -s -64K disk/filler
        "$AZR" train --resume disk/run --steps 2
        code=$?
        cat disk/run/checkpoints/latest; echo
        rm disk/filler
        "$AZR" train --resume disk/run --steps 2 || exit 11
        wc -l < disk/run/metrics.jsonl
        exit $code"#;
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]);
    let Some(output) = save_without_room(&w, &mut command) else { return };
    let error = stderr(&output);
    assert_says(&error, &["global_step_2", "hint: the disk that holds", "earlier checkpoints"]);
}

#[test]
fn a_model_that_may_not_be_written_loses_no_earlier_checkpoint() {
    let w = Workspace::new();
    // The largest file allowed is smaller than the model: what a quota does, on any machine and for any user.
    let script = r#"
        "$AZR" train --model model --run-dir run --steps 1 $SETTINGS || exit 10
        (trap '' XFSZ; ulimit -f 100; exec "$AZR" train --resume run --steps 2)
        code=$?
        cat run/checkpoints/latest; echo
        "$AZR" train --resume run --steps 2 || exit 11
        wc -l < run/metrics.jsonl
        exit $code"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let output = save_without_room(&w, &mut command).unwrap();
    assert_says(&stderr(&output), &["global_step_2", "earlier checkpoints"]);
}

/// Runs a script whose second run cannot save. It must fail, keep the checkpoint of the first, and go on when there is
/// room again. None when the machine does not let a test mount a file system.
fn save_without_room(w: &Workspace, command: &mut Command) -> Option<Output> {
    let settings =
        "--set=selfplay.batch_size=1 --set=selfplay.learnability_samples=2 --save-every=1";
    command.env("AZR", env!("CARGO_BIN_EXE_azr")).env("SETTINGS", settings);
    let output = command.current_dir(w.path(".")).output().unwrap();
    if output.status.code() == Some(77) || stderr(&output).starts_with("unshare:") {
        println!("skipped: this machine does not let a test mount a file system");
        return None;
    }
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    // Seeding and two steps have a line each.
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["global_step_1", "3"], "{out}\n{err}");
    Some(output)
}
