//! Developer commands. What CI runs and what a developer runs are the same code.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{built, cargo, cargo_with, say};

/// Set where a test that would be skipped for want of the model that CI pulls must fail.
const REQUIRE_MODELS: (&str, &str) = ("AZR_REQUIRE_MODELS", "1");

/// Runs every test; `arguments` go to the test runner (a name filter, say).
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    test_with(arguments, None)
}

/// Runs the tests that [`test`] leaves out because they take long: those ignored ones whose name says `slow`.
pub(crate) fn test_slow() -> Result<()> {
    let tests = ["test", "--release", "--workspace", "--lib", "--bins", "--tests"];
    cargo(&[&tests[..], &["slow", "--", "--ignored", "--nocapture"]].concat())
}

/// Runs `cargo xtask bench learning …`; the benches of crates are cargo's own (`cargo bench`).
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let Some(("learning", rest)) =
        arguments.split_first().map(|(name, rest)| (name.as_str(), rest))
    else {
        bail!("there is `cargo xtask bench learning`; for the benches of crates use `cargo bench`");
    };
    cargo(&["build", "--release", "--package", "azr", "--package", "azr-nano"])?;
    let azr = built("azr");
    let azr = azr.to_string_lossy();
    nano(&[&["learning", "--azr", &azr], &texts(rest)[..]].concat())
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

fn test_with(arguments: &[String], variable: Option<(&str, &str)>) -> Result<()> {
    cargo_with(&[runner(), &["--release", "--workspace"], &texts(arguments)].concat(), variable)?;
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
    timed("tests", || test_with(&[], Some(REQUIRE_MODELS)))?;
    timed("slow tests", test_slow)?;
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
