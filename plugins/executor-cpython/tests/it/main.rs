//! The executor against a real interpreter: honest, hostile and broken programs.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use azr_executor_cpython::{CpythonExecutor, CpythonOptions, Policy};
use azr_plugin::{Engine, Executor, Job, Limits, Outcome, Purpose, Quiet, Services};

mod hostile;

/// Tests run one after the other: they count processes, and limits are wall-clock times.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn executor(policy: Policy, workers: usize) -> CpythonExecutor {
    CpythonExecutor::create(CpythonOptions { policy, workers, ..CpythonOptions::default() }, Services::default()).unwrap()
}

fn limits() -> Limits {
    Limits { wall_ms: 700, cpu_ms: 500, memory_bytes: 128 << 20, output_bytes: 4_096 }
}

fn job(program: &str, calls: &[&str], purpose: Purpose) -> Job {
    let calls = calls.iter().map(|call| (*call).to_owned()).collect();
    Job { program: program.to_owned(), calls, purpose, limits: limits(), pinned: None }
}

fn run_one(executor: &CpythonExecutor, program: &str, call: &str, purpose: Purpose) -> Outcome {
    let mut reports = executor.run(&[job(program, &[call], purpose)], &Quiet).unwrap();
    reports.remove(0).outcomes.remove(0)
}

fn data(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
}
