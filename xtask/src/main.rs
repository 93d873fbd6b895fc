//! `cargo xtask …`: the front door for users and the automation for developers.
//!
//! User commands (`train`, `eval`, `model`, …) build the `azr` binary in release mode and hand everything over to it.
//! Developer commands (`test`, `ci`) run cargo. This crate stays free of heavy dependencies: it compiles before anything.

mod developer;
mod kernels;
mod new_plugin;

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
usage: cargo xtask <command> [arguments]

for users (each builds `azr` in release mode and runs it; add --help for its own help):
  train      train a model by self-play; without arguments: the built-in nano model, a few minutes
  model      pull and inspect models
  eval       evaluate a model, a run or a server on benchmarks; compare two evaluations
  plan       what a run needs in memory, before it starts
  plugins    list engines
  doctor     this machine, and what protects it from the programs a model writes

for authors of plugins (docs/plugins.md):
  new-plugin NAME --kind tokenizer|backend|executor|domain|optimizer [--path DIR]
             write a plugin of your own: a crate outside this workspace with tests and a README

for developers:
  test       every test: nextest where it is installed, else cargo test, and the doc tests
  test-slow  the tests that take long
  examples   format, lints and tests of examples/, a workspace of its own
  bench NAME       kernels, decode, prefill, update, executors, step or all: speed against the machine's limits
                   (--save FOLDER keeps the tables in benches/results/FOLDER);
                   instructions: instruction counts of hot paths against committed ones, which needs valgrind
  bench learning   the default run and its controls, several seeds each, into docs/learning.md
  kernels          CUDA kernels, without a GPU: test, mutate, driver, build, check
  pretrain-nano    make the built-in model from nothing (models/azr-nano/README.md)
  ci         what has to pass before a change lands: model, tests, examples, kernels, instruction counts, format, lints
";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "train" | "eval" | "model" | "plan" | "plugins" | "doctor" => become_azr(&command, &rest),
        "new-plugin" => new_plugin::run(&rest).map(|()| 0),
        "test" => developer::test(&rest).map(|()| 0),
        "test-slow" => developer::test_slow().map(|()| 0),
        "examples" => developer::examples().map(|()| 0),
        "bench" => developer::bench(&rest).map(|()| 0),
        "kernels" => kernels::run(&rest).map(|()| 0),
        "pretrain-nano" => developer::pretrain_nano(&rest).map(|()| 0),
        "ci" => developer::ci().map(|()| 0),
        "" | "help" | "--help" | "-h" => {
            say(HELP);
            Ok(0)
        }
        unknown => {
            say(&format!("error: unknown command `{unknown}`\n\n{HELP}"));
            Ok(2)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Builds `azr` in release mode and becomes it, so that Ctrl-C and the exit code are `azr`'s own.
fn become_azr(command: &str, arguments: &[String]) -> Result<u8> {
    cargo(&["build", "--release", "--package", "azr"])?;
    let error = Command::new(built("azr")).arg(command).args(arguments).exec();
    Err(error).context("cannot start `azr`")
}

/// Where the binary `name` that was built last lies.
fn built(name: &str) -> PathBuf {
    target_directory().join("release").join(name)
}

/// Runs cargo with `arguments` and fails when it does.
fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

/// The same with more environment variables.
fn cargo_with(arguments: &[&str], variables: &[(&str, &OsStr)]) -> Result<()> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("`cargo {}` failed", arguments.join(" "));
    }
    Ok(())
}

fn target_directory() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

#[expect(clippy::print_stderr, reason = "a command line tool talks to its user on stderr")]
fn say(text: &str) {
    eprint!("{text}");
}
