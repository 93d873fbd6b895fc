//! Programs per second: our executors against the reference's pattern, on the same programs in one run.
//!
//! `cargo xtask bench executors [N | FILE]` takes `N` programs of the corpus, or the seed triplets in
//! `FILE` (JSON lines of `snippet` and `input`), runs them through `monty`, `cpython` and `auto` and, with
//! `reference_pool.py`, through a process pool of the published system's pattern (Python with the package
//! `pebble`, in the interpreter that `AZR_BENCH_PYTHON` names). All take turns for some rounds, so that a busy
//! machine slows all of them; the best round of each counts.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends at its first surprise and prints what it measured"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use azr_executor_suite::corpus::triplets;
use azr_host::Host;
use azr_plugin::{Executor, Job, Limits, Outcome, Purpose, Quiet};
use serde_json::{Value, json};

const N_ROUNDS: usize = 3;

fn main() {
    let argument = std::env::args().skip(1).find(|text| !text.starts_with("--"));
    let argument = argument.unwrap_or_else(|| "1000".to_owned());
    let triplets = match argument.parse() {
        Ok(n) => {
            triplets(1, n).into_iter().map(|triplet| (triplet.program, triplet.call)).collect()
        }
        Err(_) => read_triplets(Path::new(&argument)),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("triplets.jsonl");
    let jobs = write_triplets(triplets, &file);
    let n = jobs.len();
    println!("{n} programs, {N_ROUNDS} rounds, best of each");
    let executors = executors();
    let mut best: BTreeMap<String, f64> = BTreeMap::new();
    let mut note = |name: String, rate: f64| {
        let kept = best.entry(name).or_insert(rate);
        *kept = kept.max(rate);
    };
    for round in 0..N_ROUNDS {
        let mut ours = |name: &str, purpose: Purpose, label: String| {
            let (rate, n_values) = measured(&*executors[name], &jobs, purpose);
            if round == 0 {
                println!("{label}: {n_values} of {n} came to a value");
            }
            note(label, rate);
        };
        for name in executors.keys() {
            ours(name, Purpose::Check, format!("{name} check"));
        }
        ours("auto", Purpose::Gold, "auto gold".to_owned());
        for (mode, rate) in reference(&file) {
            note(format!("reference {mode}"), rate);
        }
    }
    for (name, rate) in &best {
        println!("{name:<34} {rate:>9.0} programs/s");
    }
    for (ours, theirs) in
        [("auto check", "run"), ("auto gold", "check"), ("auto check", "judge_input")]
    {
        if let Some(peer) = best.get(&format!("reference {theirs}")) {
            println!("{ours} / {theirs}: {:.1}", best[ours] / peer);
        }
    }
}

/// The triplets whose inputs are literals.
fn read_triplets(file: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap();
    let read = |line: &str| {
        let triplet: Value = serde_json::from_str(line).unwrap();
        let call = azr_executor::parse_arguments(triplet["input"].as_str()?).ok()?;
        Some((triplet["snippet"].as_str()?.to_owned(), call.to_canonical()))
    };
    text.lines().filter_map(read).collect()
}

/// Writes the triplets for the reference's pattern.
fn write_triplets(triplets: Vec<(String, String)>, file: &Path) -> Vec<Job> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).unwrap());
    let mut jobs = Vec::new();
    for (program, call) in triplets {
        let input = azr_executor::Arguments::from_canonical(&call).unwrap().repr();
        writeln!(out, "{}", json!({ "snippet": program, "input": input, "output": "" })).unwrap();
        jobs.push(Job {
            program,
            calls: vec![call],
            purpose: Purpose::Check,
            limits: Limits::default(),
            pinned: None,
        });
    }
    out.flush().unwrap();
    jobs
}

fn executors() -> BTreeMap<&'static str, Arc<dyn Executor>> {
    let mut host = Host::new();
    for module in [
        azr_executor_auto::plugin_module(),
        azr_executor_cpython::plugin_module(),
        azr_executor_monty::plugin_module(),
    ] {
        host.register_builtin(module).unwrap();
    }
    let monty = json!({ "worker": env!("CARGO_BIN_EXE_azr") });
    let auto = json!({ "embedded": { "name": "monty", "options": monty } });
    [("auto", auto), ("cpython", json!({})), ("monty", monty)]
        .into_iter()
        .map(|(name, options)| (name, host.create_executor(name, options).unwrap()))
        .collect()
}

/// Programs per second, and how many of them came to a value.
fn measured(executor: &dyn Executor, jobs: &[Job], purpose: Purpose) -> (f64, usize) {
    let jobs: Vec<Job> = jobs.iter().map(|job| Job { purpose, ..job.clone() }).collect();
    let start = Instant::now();
    let reports = executor.run(&jobs, &Quiet).unwrap();
    let rate = jobs.len() as f64 / start.elapsed().as_secs_f64();
    let outcomes = reports.iter().flat_map(|report| &report.outcomes);
    (rate, outcomes.filter(|outcome| matches!(outcome, Outcome::Value(_))).count())
}

/// Programs per second of each mode of the reference's pattern; empty, with a word why, where it cannot run.
fn reference(file: &Path) -> BTreeMap<String, f64> {
    let python = std::env::var("AZR_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../benches/peers/reference_pool.py");
    // In the folder of the triplets: nothing keeps these programs from writing files.
    let folder = file.parent().unwrap();
    let output = match Command::new(&python).arg(script).arg(file).current_dir(folder).output() {
        Ok(output) => output,
        Err(error) => {
            println!("the reference's pattern did not run: {python}: {error}");
            return BTreeMap::new();
        }
    };
    // Programs print to the same standard output: the rates are its last line.
    let text = String::from_utf8_lossy(&output.stdout);
    let rates = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    let rates: Option<BTreeMap<String, Value>> = rates;
    let Some(rates) = rates else {
        println!(
            "the reference's pattern did not run in {python}: {}",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no output")
        );
        return BTreeMap::new();
    };
    rates.into_iter().filter_map(|(mode, rate)| Some((mode, rate.as_f64()?))).collect()
}
