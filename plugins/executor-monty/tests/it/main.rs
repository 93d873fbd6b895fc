//! The executor in real worker processes: honest, hostile and broken programs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use azr_executor_monty::{MontyExecutor, MontyOptions, Policy};
use azr_plugin::{Engine, Executor, Job, LimitKind, Limits, Outcome, Purpose, Quiet, Services};

mod faithful;
mod honest;
mod hostile;
mod robust;

/// Tests run one after the other: they count processes, and limits are times.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn worker() -> Option<PathBuf> {
    Some(env!("CARGO_BIN_EXE_azr-monty-worker").into())
}

fn executor(policy: Policy, workers: usize) -> MontyExecutor {
    let options = MontyOptions { policy, workers, worker: worker(), ..MontyOptions::default() };
    MontyExecutor::create(options, Services::default()).unwrap()
}

fn limits() -> Limits {
    Limits { wall_ms: 60_000, cpu_ms: 300, memory_bytes: 128 << 20, output_bytes: 16_384 }
}

fn job(program: &str, calls: &[&str], purpose: Purpose) -> Job {
    let calls = calls.iter().map(|call| (*call).to_owned()).collect();
    Job { program: program.to_owned(), calls, purpose, limits: limits(), pinned: None }
}

fn run_all(executor: &MontyExecutor, program: &str, calls: &[&str]) -> Vec<Outcome> {
    executor.run(&[job(program, calls, Purpose::Check)], &Quiet).unwrap().remove(0).outcomes
}

fn run_one(executor: &MontyExecutor, program: &str, call: &str) -> Outcome {
    run_all(executor, program, &[call]).remove(0)
}

fn value(text: &str) -> Outcome {
    Outcome::Value(text.to_owned())
}

fn limit(kind: LimitKind) -> Outcome {
    Outcome::Limit(kind)
}

/// Living processes that this test process started.
fn workers() -> Vec<u32> {
    let ours = std::process::id();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let workers = entries.filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let mut fields = tail.split_whitespace();
        let is_living = fields.next()? != "Z";
        let parent: u32 = fields.next()?.parse().ok()?;
        let id = head.split_once(' ')?.0.parse().ok()?;
        (is_living && parent == ours).then_some(id)
    });
    workers.collect()
}
