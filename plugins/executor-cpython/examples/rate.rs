//! Prints what protects the machine from programs, and how fast they run: `cargo run --release --example rate`.
//!
//! With a file of JSON lines that have `program` and `call` (canonical text), those are run instead of the corpus.

#![expect(clippy::print_stdout, reason = "it measures and says so")]

use std::error::Error;
use std::time::{Duration, Instant};

use azr_executor_cpython::{CpythonExecutor, CpythonOptions};
use azr_executor_suite::corpus;
use azr_plugin::{Engine, Executor, Job, Limits, Outcome, Purpose, Quiet, Services};

const N_LATENCIES: usize = 300;

fn main() -> Result<(), Box<dyn Error>> {
    let jobs = match std::env::args().nth(1) {
        Some(path) => read_jobs(&std::fs::read_to_string(path)?)?,
        None => corpus::triplets(1, 1_000)
            .into_iter()
            .map(|triplet| job(triplet.program, triplet.call))
            .collect(),
    };
    for workers in [1, 2, 1, 2] {
        let started = Instant::now();
        let executor = CpythonExecutor::create(
            CpythonOptions { workers, ..CpythonOptions::default() },
            Services::default(),
        )?;
        println!("{workers} workers, started in {:?}", started.elapsed());
        // The workers start with their first jobs.
        executor.run(&vec![job("def f(x): return x".into(), "1".into()); 50], &Quiet)?;
        let started = Instant::now();
        let reports = executor.run(&jobs, &Quiet)?;
        let elapsed = started.elapsed();
        let is_value = |outcome: &&Outcome| matches!(outcome, Outcome::Value(_));
        let n_values = reports.iter().flat_map(|report| &report.outcomes).filter(is_value).count();
        let per_second = jobs.len() as f64 / elapsed.as_secs_f64();
        println!("  {} programs, {n_values} values: {per_second:.0} a second", jobs.len());
        let mut latencies: Vec<Duration> = Vec::with_capacity(N_LATENCIES);
        for job in jobs.iter().take(N_LATENCIES) {
            let started = Instant::now();
            executor.run(std::slice::from_ref(job), &Quiet)?;
            latencies.push(started.elapsed());
        }
        latencies.sort();
        for percent in [50, 99] {
            let latency = latencies.get(latencies.len() * percent / 100).copied();
            println!("  {percent} % of calls within {:?}", latency.unwrap_or_default());
        }
        if workers == 1 {
            for protection in executor.protections() {
                println!(
                    "  {:22} {:5} {}",
                    protection.name, protection.in_force, protection.detail
                );
            }
        }
    }
    Ok(())
}

fn read_jobs(text: &str) -> Result<Vec<Job>, Box<dyn Error>> {
    let read = |line: &str| -> Result<Job, Box<dyn Error>> {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        let field =
            |name: &str| entry.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        Ok(job(field("program").ok_or("no program")?, field("call").ok_or("no call")?))
    };
    text.lines().map(read).collect()
}

fn job(program: String, call: String) -> Job {
    let limits = Limits::default();
    Job { program, calls: vec![call], purpose: Purpose::Check, limits, pinned: None }
}
