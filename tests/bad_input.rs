//! Bad input ends with a message that names the thing and the way out, and loses nothing.

use std::fs;

use crate::fixtures::{Workspace, expect_code, stderr};

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
    assert_says(&text, &["lerning_rate", "trr++"]);
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
fn a_machine_without_python() {
    let w = Workspace::new();
    let mut command =
        w.train("run", &["--steps=1", "--set=executor.options.python=/nowhere/python3"]);
    let text = stderr(&expect_code(&mut command, 1));
    assert_says(&text, &["python3", "hint:"]);
}

#[test]
fn a_full_disk_loses_no_earlier_checkpoint() {
    let w = Workspace::new();
    // A file system of the test's own, in a mount namespace; some machines do not allow that.
    let script = r#"
        mount -t tmpfs -o size=$SIZE tmpfs disk || exit 77
        "$AZR" train --model model --run-dir disk/run --steps 1 $SETTINGS || exit 1
        head -c 100000000 /dev/zero > disk/filler 2>/dev/null
        "$AZR" train --resume disk/run --steps 3
        code=$?
        cat disk/run/checkpoints/latest
        rm disk/filler
        "$AZR" train --resume disk/run --steps 2 || exit 2
        wc -l < disk/run/metrics.jsonl
        exit $code"#;
    fs::create_dir(w.path("disk")).unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).current_dir(w.path("."));
    command.env("AZR", env!("CARGO_BIN_EXE_azr")).env("SIZE", "8m");
    command.env(
        "SETTINGS",
        "--set=selfplay.batch_size=1 --set=selfplay.learnability_samples=2 --save-every=1",
    );
    let output = match command.output() {
        Ok(output)
            if output.status.code() == Some(77) || stderr(&output).starts_with("unshare:") =>
        {
            return println!("skipped: this machine does not let a test mount a file system");
        }
        Err(error) => return println!("skipped: no `unshare`: {error}"),
        Ok(output) => output,
    };
    let (out, err) = (crate::fixtures::stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{out}\n{err}");
    assert_says(&err, &["disk", "hint: the disk is full"]);
    assert_eq!(out.lines().map(str::trim).collect::<Vec<_>>(), ["global_step_12"], "{out}\n{err}");
}
