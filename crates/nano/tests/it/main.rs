//! The recipe from the outside: what it makes is a function of the seed, and nothing held out goes in.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

fn heldout(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/heldout").join(name)
}

fn azr_nano(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_azr-nano")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

const FILES: [&str; 4] = ["config.json", "tokenizer.json", "model.safetensors", "loss.csv"];

/// `azr-nano pretrain` of a very small recipe.
fn pretrain(seed: &str, n_functions: &str, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_azr-nano"));
    command.args(["pretrain", "--functions", n_functions, "--save-every", "20", "--seed", seed]);
    command.arg("--heldout").arg(heldout("heldout.jsonl")).arg("--out").arg(out);
    command
}

fn files(folder: &Path) -> [Vec<u8>; 4] {
    FILES.map(|name| fs::read(folder.join(name)).unwrap())
}

#[test]
fn the_same_seed_makes_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let made = ["1", "1", "2"].iter().enumerate().map(|(number, seed)| {
        let out = folder.path().join(number.to_string());
        assert!(pretrain(seed, "60", &out).output().unwrap().status.success());
        assert!(!out.join(".pretraining").exists());
        files(&out)
    });
    let made: Vec<_> = made.collect();
    assert_eq!(made[0], made[1]);
    assert_ne!(made[0][2], made[2][2]);
    assert!(made[0][2].len() < 8 << 20, "{} bytes", made[0][2].len());
}

#[test]
fn what_was_killed_goes_on_to_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    // So many parts that it cannot end between the first of them and the kill.
    let n = "200";
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    assert!(pretrain("3", n, &whole).output().unwrap().status.success());
    let mut child = pretrain("3", n, &killed).spawn().unwrap();
    while !killed.join(".pretraining/progress.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it saved anything");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("model.safetensors").exists(), "it was complete before it was killed");
    assert!(!pretrain("4", n, &killed).output().unwrap().status.success(), "of another recipe");
    assert!(pretrain("3", n, &killed).output().unwrap().status.success());
    assert_eq!(files(&whole), files(&killed));
}

/// Whatever variables are called: of the held-out tasks and of everything that pre-training draws.
#[test]
fn no_held_out_program_is_in_the_pre_training_set() {
    let shapes = azr_nano::heldout_programs(&heldout("heldout.jsonl")).unwrap();
    assert!(shapes.len() > 850, "{}", shapes.len());
    let shown = azr_nano::training_programs(&heldout("heldout.jsonl")).unwrap();
    assert!(shown.len() > 50_000, "{}", shown.len());
    let both: Vec<_> = shown.intersection(&shapes).collect();
    assert!(both.is_empty(), "{} held-out programs are trained on", both.len());
}

/// The committed file is what the generator makes today.
#[test]
fn the_held_out_set_is_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("heldout.jsonl");
    azr_nano(&["heldout", "--out", out.to_str().unwrap()]);
    let is_same = fs::read(out).unwrap() == fs::read(heldout("heldout.jsonl")).unwrap();
    assert!(is_same, "the generator makes other held-out tasks than those in tests/data/heldout");
}
