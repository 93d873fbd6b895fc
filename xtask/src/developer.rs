//! Developer commands. What CI runs and what a developer runs are the same code.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::kernels;
use crate::{built, cargo, cargo_with, say, target_directory};

/// Set where a test that would be skipped for want of the model that CI pulls must fail.
const REQUIRE_MODELS: &str = "AZR_REQUIRE_MODELS";

/// Runs every test; `arguments` go to the test runner (a name filter, say).
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    test_with(arguments, &[])
}

/// Runs the tests that [`test`] leaves out because they take long: those ignored ones whose name says `slow`.
pub(crate) fn test_slow() -> Result<()> {
    let tests = ["test", "--release", "--workspace", "--lib", "--bins", "--tests"];
    cargo(&[&tests[..], &["slow", "--", "--ignored", "--nocapture"]].concat())
}

/// What has to hold of `examples/`, which is a workspace of its own. Whole runs with its plugins are among the slow tests,
/// and find there what was built here.
pub(crate) fn examples() -> Result<()> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/Cargo.toml");
    let manifest = manifest.to_string_lossy();
    let target = target_directory().join("examples");
    let cargo = |command: &[&str], arguments: &[&str]| {
        let line = [command, &["--manifest-path", &*manifest], arguments].concat();
        cargo_with(&line, &[("CARGO_TARGET_DIR", target.as_os_str())])
    };
    cargo(&["fmt", "--all"], &["--check"])?;
    cargo(&["build"], &["--release", "--locked"])?;
    cargo(runner(), &["--release", "--locked"])?;
    cargo(&["clippy"], &["--release", "--all-targets", "--", "--deny", "warnings"])
}

/// The benches, by name.
const BENCHES: [&str; 7] =
    ["instructions", "kernels", "decode", "prefill", "update", "executors", "step"];

/// Runs a bench, all of them, or the learning experiment.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let (name, rest) = arguments.split_first().map_or(("", &[][..]), |(name, rest)| (name, rest));
    match name {
        "learning" => learning(rest),
        "all" => BENCHES.iter().try_for_each(|name| run_bench(name, rest)),
        name if BENCHES.contains(&name) => run_bench(name, rest),
        name => {
            let names = BENCHES.join(", ");
            bail!("no bench is called `{name}`; there are {names}, all and learning")
        }
    }
}

/// Runs a bench and, with `--save FOLDER`, keeps its table in `benches/results/FOLDER`.
fn run_bench(name: &str, arguments: &[String]) -> Result<()> {
    let mut arguments = texts(arguments);
    let save = match arguments.iter().position(|text| *text == "--save") {
        Some(at) if at + 1 < arguments.len() => Some(arguments.drain(at..at + 2).nth(1)),
        Some(_) => bail!("--save needs the name of a folder, for example 2026-01-31-my-machine"),
        None => None,
    };
    // The whole workspace, because a part of it would choose other features for some dependencies and compile them again.
    cargo(&[&["bench", "--workspace", "--bench", name, "--"], &arguments[..]].concat())?;
    let Some(folder) = save.flatten() else { return Ok(()) };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/results").join(folder);
    fs::create_dir_all(&folder)?;
    for extension in ["md", "json"] {
        let table = target_directory().join("bench").join(name).with_extension(extension);
        // Benches that print lines of their own write no table.
        if table.exists() {
            fs::copy(&table, folder.join(name).with_extension(extension))?;
        }
    }
    Ok(())
}

fn learning(arguments: &[String]) -> Result<()> {
    cargo(&["build", "--release", "--package", "azr", "--package", "azr-nano"])?;
    let azr = built("azr");
    let azr = azr.to_string_lossy();
    nano(&[&["learning", "--azr", &azr], &texts(arguments)[..]].concat())
}

/// Makes the built-in model; `arguments` go to `azr-nano pretrain`.
pub(crate) fn pretrain_nano(arguments: &[String]) -> Result<()> {
    cargo(&["build", "--release", "--package", "azr-nano"])?;
    nano(&[&["pretrain"], &texts(arguments)[..]].concat())
}

fn nano(arguments: &[&str]) -> Result<()> {
    let status = Command::new(built("azr-nano")).args(arguments).status()?;
    if !status.success() {
        bail!("`azr-nano {}` failed", arguments.join(" "));
    }
    Ok(())
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

fn test_with(arguments: &[String], variables: &[(&str, &OsStr)]) -> Result<()> {
    cargo_with(&[runner(), &["--release", "--workspace"], &texts(arguments)].concat(), variables)?;
    cargo(&["test", "--release", "--workspace", "--doc"])
}

/// nextest where it is installed, else cargo's own runner.
fn runner() -> &'static [&'static str] {
    let has_nextest = Command::new("cargo")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if has_nextest { &["nextest", "run"] } else { &["test", "--lib", "--bins", "--tests"] }
}

/// What has to pass before a change lands.
pub(crate) fn ci() -> Result<()> {
    // The tests' build comes first and brings `azr` along: building it alone would choose other features for some
    // dependencies, and compile them twice.
    timed("build", || cargo(&[runner(), &["--release", "--workspace", "--no-run"]].concat()))?;
    timed("pull the model that the tests use", pull_model)?;
    timed("tests", || test_with(&[], &[(REQUIRE_MODELS, OsStr::new("1"))]))?;
    timed("examples", examples)?;
    timed("slow tests", test_slow)?;
    timed("kernels", || kernels::test(""))?;
    timed("kernels without their barriers", || kernels::run(&["mutate".to_owned()]))?;
    timed("kernels for GPUs", || kernels::check(false, kernels::Scope::Workspace))?;
    timed("instruction counts", || run_bench("instructions", &[]))?;
    timed("format", || cargo(&["fmt", "--all", "--check"]))?;
    timed("lints", || {
        cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    })
}

fn pull_model() -> Result<()> {
    let arguments = ["pull".to_owned(), "smollm2-135m".to_owned()];
    if !Command::new(built("azr")).arg("model").args(arguments).status()?.success() {
        bail!("the model could not be pulled");
    }
    Ok(())
}

fn timed(name: &str, stage: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!("== {name}\n"));
    let start = Instant::now();
    let result = stage();
    say(&format!(
        "== {name}: {} after {:.0} s\n",
        if result.is_ok() { "ok" } else { "FAILED" },
        start.elapsed().as_secs_f64()
    ));
    result
}
