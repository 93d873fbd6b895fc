//! The executor against a real interpreter: honest, hostile and broken programs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use azr_executor_cpython::{CpythonExecutor, CpythonOptions, Policy};
use azr_plugin::{Engine, Executor, Job, Limits, Outcome, Purpose, Quiet, Services};

mod gold;
mod honest;
mod hostile;
mod robust;
mod scenario;

/// Tests run one after the other: they count processes, and limits are times.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn executor(policy: Policy, workers: usize) -> CpythonExecutor {
    let options = CpythonOptions { policy, workers, ..CpythonOptions::default() };
    CpythonExecutor::create(options, Services::default()).unwrap()
}

/// Times that no program here comes near, also on a busy machine.
fn limits() -> Limits {
    Limits { wall_ms: 60_000, cpu_ms: 60_000, memory_bytes: 128 << 20, output_bytes: 16_384 }
}

/// For programs that are to run into them.
fn short_limits() -> Limits {
    Limits { wall_ms: 2_000, cpu_ms: 300, ..limits() }
}

fn job(program: &str, calls: &[&str], purpose: Purpose) -> Job {
    let calls = calls.iter().map(|call| (*call).to_owned()).collect();
    Job { program: program.to_owned(), calls, purpose, limits: limits(), pinned: None }
}

fn run_all(
    executor: &CpythonExecutor,
    program: &str,
    calls: &[&str],
    purpose: Purpose,
) -> Vec<Outcome> {
    executor.run(&[job(program, calls, purpose)], &Quiet).unwrap().remove(0).outcomes
}

fn run_one(executor: &CpythonExecutor, program: &str, call: &str, purpose: Purpose) -> Outcome {
    run_all(executor, program, &[call], purpose).remove(0)
}

fn value(text: &str) -> Outcome {
    Outcome::Value(text.to_owned())
}

fn exception(name: &str) -> Outcome {
    Outcome::Exception(name.to_owned())
}

/// Ids of the living processes that this process started itself.
fn zygotes() -> Vec<u32> {
    children(&[std::process::id()])
}

/// Ids of the living processes that any of these started.
fn children(of: &[u32]) -> Vec<u32> {
    let child = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let mut fields = tail.split_whitespace();
        let is_living = fields.next()? != "Z";
        let parent: u32 = fields.next()?.parse().ok()?;
        let id = head.split_once(' ')?.0.parse().ok()?;
        (is_living && of.contains(&parent)).then_some(id)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(child).collect()
}

/// Number of zygotes and of programs.
fn processes() -> (usize, usize) {
    let zygotes = zygotes();
    (zygotes.len(), children(&zygotes).len())
}

/// Waits until no program runs any more: a killed process takes a moment to end.
fn assert_no_program_runs() {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while processes().1 > 0 {
        assert!(std::time::Instant::now() < deadline, "a program survived");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
