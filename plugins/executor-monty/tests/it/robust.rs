//! Workers that fail, hosts that give up, and what is left afterwards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use azr_plugin::{CallContext, ErrorCode};
use rustix::process::{Pid, Signal, kill_process};

use crate::*;

const ECHO: &str = "def f(x): return x";

/// Kills every worker when the given number of jobs is done, or cancels then.
struct Saboteur {
    at: u64,
    kills: bool,
    is_done: AtomicBool,
    n_done: AtomicU64,
}

impl Saboteur {
    fn new(at: u64, kills: bool) -> Self {
        Self { at, kills, is_done: AtomicBool::new(false), n_done: AtomicU64::new(0) }
    }
}

impl CallContext for Saboteur {
    fn progress(&self, done: u64, _total: u64) {
        self.n_done.store(done, Ordering::Relaxed);
        if self.kills && done >= self.at && !self.is_done.swap(true, Ordering::Relaxed) {
            workers().into_iter().for_each(kill);
        }
    }

    fn is_cancelled(&self) -> bool {
        !self.kills && self.n_done.load(Ordering::Relaxed) >= self.at
    }
}

fn kill(worker: u32) {
    let id = Pid::from_raw(worker.cast_signed()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
}

#[test]
fn workers_that_others_kill_lose_no_job() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 2);
    let jobs: Vec<Job> =
        (0..300).map(|index| job(ECHO, &[&index.to_string()], Purpose::Check)).collect();
    let saboteur = Saboteur::new(100, true);
    let reports = executor.run(&jobs, &saboteur).unwrap();
    assert!(saboteur.is_done.load(Ordering::Relaxed));
    for (index, report) in reports.iter().enumerate() {
        assert_eq!(report.outcomes, [value(&index.to_string())]);
    }
}

#[test]
fn a_call_that_is_killed_twice_has_crashed() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    assert_eq!(run_one(&executor, ECHO, "1"), value("1"));
    let is_over = AtomicBool::new(false);
    let outcomes = std::thread::scope(|scope| {
        // Kills the worker that runs the endless loop, and the next one, and no other.
        scope.spawn(|| {
            let mut killed = Vec::new();
            while killed.len() < 2 && !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(40));
                let new = workers().into_iter().find(|worker| !killed.contains(worker));
                killed.extend(new.inspect(|worker| kill(*worker)));
            }
        });
        let mut endless =
            job("def f(x):\n    while x: pass\n    return 5", &["1", "0"], Purpose::Check);
        endless.limits.cpu_ms = 60_000;
        let outcomes = executor.run(&[endless], &Quiet).unwrap().remove(0).outcomes;
        is_over.store(true, Ordering::Relaxed);
        outcomes
    });
    assert!(matches!(&outcomes[0], Outcome::Crashed(how) if how.contains("ended")), "{outcomes:?}");
    assert_eq!(outcomes[1], value("5"));
}

#[test]
fn cancelling_ends_a_run_at_once() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 2);
    let endless = "def f(x):\n    while x: pass\n    return x";
    let mut jobs = vec![job(ECHO, &["1"], Purpose::Check); 40];
    jobs.extend(vec![job(endless, &["1"], Purpose::Check); 40]);
    for job in &mut jobs {
        (job.limits.wall_ms, job.limits.cpu_ms) = (3_600_000, 3_600_000);
    }
    // The limits are an hour: a run that waited for them would never end.
    let error = executor.run(&jobs, &Saboteur::new(1, false)).unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
    assert_eq!(run_one(&executor, ECHO, "1"), value("1"));
}

#[test]
fn nothing_runs_once_the_executor_is_dropped() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 3);
    let jobs = vec![job(ECHO, &["1"], Purpose::Gold); 100];
    executor.run(&jobs, &Quiet).unwrap();
    assert!(workers().len() >= 2);
    drop(executor);
    assert!(workers().is_empty());
}

#[test]
fn long_sources_and_values_pass() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let long = format!("'{}'", "x".repeat(200_000));
    let comment = format!("# {}\n{ECHO}", "c".repeat(15_000));
    let mut jobs = vec![job(&comment, &[&long, "1"], Purpose::Check); 20];
    for job in &mut jobs {
        job.limits.output_bytes = 256 << 10;
    }
    for report in executor.run(&jobs, &Quiet).unwrap() {
        assert_eq!(report.outcomes, [value(&long), value("1")]);
    }
}

/// Memory of this process that is in use, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
#[ignore = "takes half a minute: 100,000 executions"]
fn slow_memory_of_the_host_stays_flat() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 2);
    let round = |n: usize| {
        let jobs: Vec<Job> = (0..n)
            .map(|index| {
                let program = format!("def f(x):\n    return [x + {index}] * 20");
                job(&program, &["1", "2"], Purpose::Check)
            })
            .collect();
        let reports = executor.run(&jobs, &Quiet).unwrap();
        assert!(reports.iter().all(|report| {
            report.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Value(_)))
        }));
    };
    (0..5).for_each(|_| round(1_000));
    let before = resident_kib();
    (0..50).for_each(|_| round(1_000));
    let after = resident_kib();
    assert!(after < before + before / 20 + 2_048, "{before} KiB grew to {after} KiB");
}
