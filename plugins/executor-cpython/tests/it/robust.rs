//! The executor as a service: order, cancellation, processes, refusals to start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use azr_plugin::{CallContext, ErrorCode};

use crate::*;

#[test]
fn many_jobs_keep_order_and_processes() {
    let _turn = turn();
    let jobs: Vec<Job> = (0..1_000)
        .map(|index| match index % 100 {
            7 => job("def f(x): return x +", &["1"], Purpose::Check),
            50 => job("def f(x): raise ValueError", &["1"], Purpose::Gold),
            _ => job("def f(x): return x * x", &[&index.to_string()], Purpose::Check),
        })
        .collect();
    let executor = executor(Policy::Strict, 2);
    let reports = executor.run(&jobs[..400], &Quiet).unwrap();
    assert_no_program_runs();
    let zygotes = processes().0;
    let more = executor.run(&jobs[400..], &Quiet).unwrap();
    // At most a pair for each worker, however many jobs there were.
    assert!(
        (2..=4).contains(&zygotes) && (2..=4).contains(&processes().0),
        "{zygotes} {:?}",
        processes()
    );
    for (index, report) in reports.iter().chain(&more).enumerate() {
        let expected = match index % 100 {
            7 => Outcome::Refused("syntax".into()),
            50 => exception("ValueError"),
            _ => value(&(index * index).to_string()),
        };
        assert_eq!(
            (report.outcomes.as_slice(), report.executor.as_str()),
            ([expected].as_slice(), "cpython")
        );
    }
    let alone = crate::executor(Policy::Strict, 1);
    assert_eq!(alone.run(&jobs[..120], &Quiet).unwrap(), reports[..120]);
    drop((executor, alone));
    assert_eq!(processes(), (0, 0));
}

/// Cancels once a number of jobs is done, or at once.
struct Cancelling {
    after: u64,
    done: AtomicU64,
    cancelled: AtomicBool,
}

impl CallContext for Cancelling {
    fn progress(&self, done: u64, _total: u64) {
        self.done.fetch_max(done, Ordering::Relaxed);
        self.cancelled.fetch_or(done >= self.after, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

#[test]
fn cancelling_ends_the_call_and_not_the_executor() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 2);
    let mut jobs = vec![job("def f(x): return x", &["1"], Purpose::Check); 3];
    let mut endless = job("def f(x):\n    while True: pass", &["1"], Purpose::Check);
    endless.limits.wall_ms = 60_000;
    endless.limits.cpu_ms = 60_000;
    jobs.extend([endless.clone(), endless]);
    let context =
        Cancelling { after: 3, done: AtomicU64::new(0), cancelled: AtomicBool::new(false) };
    let started = Instant::now();
    let error = executor.run(&jobs, &context).unwrap_err();
    assert_eq!(error.code, ErrorCode::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(context.done.load(Ordering::Relaxed) >= 3);
    assert_no_program_runs();
    assert_eq!(executor.run(&jobs[..1], &Quiet).unwrap()[0].outcomes, [value("1")]);
}

#[test]
fn progress_reaches_the_total() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 2);
    let context =
        Cancelling { after: u64::MAX, done: AtomicU64::new(0), cancelled: AtomicBool::new(false) };
    executor.run(&vec![job("def f(x): return x", &["1"], Purpose::Check); 5], &context).unwrap();
    assert_eq!(context.done.load(Ordering::Relaxed), 5);
    assert_eq!(executor.run(&[], &Quiet).unwrap(), []);
}

/// Kills the zygote of a worker, also while it serves.
fn kill_a_zygote() {
    for zygote in zygotes() {
        let _ = std::process::Command::new("kill").args(["-9", &zygote.to_string()]).status();
    }
}

#[test]
fn a_lost_zygote_costs_no_job() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    kill_a_zygote();
    let outcomes = run_all(&executor, "def f(x): return x", &["1", "2"], Purpose::Check);
    assert_eq!(outcomes, [value("1"), value("2")]);
    // In the middle of a batch: the call that was running is run again, those before it are not.
    let slow = "def f(x):\n    for i in range(x): pass\n    return x";
    let calls = ["1", "2", "30000000", "3"];
    let mut job = job(slow, &calls, Purpose::Check);
    (job.limits.wall_ms, job.limits.cpu_ms) = (60_000, 60_000);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            // A child that lives on is the call that takes long.
            while !is_done.load(Ordering::Relaxed) {
                let before = children(&zygotes());
                std::thread::sleep(Duration::from_millis(50));
                if !before.is_empty() && before == children(&zygotes()) {
                    kill_a_zygote();
                    return true;
                }
            }
            false
        });
        let reports = executor.run(&[job], &Quiet);
        is_done.store(true, Ordering::Relaxed);
        assert!(killer.join().unwrap(), "nothing was killed in time");
        assert_eq!(reports.unwrap()[0].outcomes, calls.map(value));
    });
    assert_no_program_runs();
}

#[test]
fn a_zygote_that_takes_no_job_costs_none() {
    let _turn = turn();
    let executor = executor(Policy::Open, 1);
    for zygote in zygotes() {
        let stop = std::process::Command::new("kill").args(["-STOP", &zygote.to_string()]).status();
        assert!(stop.unwrap().success());
    }
    // More than its pipe holds.
    let long = format!("{:?}", "x".repeat(200_000));
    let outcome =
        run_one(&executor, "def f(x): return len(x)", &long.replace('"', "'"), Purpose::Check);
    assert_eq!(outcome, value("200000"));
}

#[test]
fn a_zygote_that_is_lost_again_and_again_is_told() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let mut job = job("def f(x):\n    while True: pass", &["1"], Purpose::Check);
    (job.limits.wall_ms, job.limits.cpu_ms) = (60_000, 60_000);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A child that lives on is the program; a starting zygote has one for a moment.
            while !is_done.load(Ordering::Relaxed) {
                let before = children(&zygotes());
                std::thread::sleep(Duration::from_millis(200));
                if !before.is_empty() && before == children(&zygotes()) {
                    kill_a_zygote();
                }
            }
        });
        let reports = executor.run(&[job], &Quiet);
        is_done.store(true, Ordering::Relaxed);
        let reports = reports.unwrap();
        assert!(matches!(&reports[0].outcomes[..], [Outcome::Crashed(_)]), "{reports:?}");
    });
}

#[test]
fn a_missing_interpreter_is_unavailable() {
    let options =
        CpythonOptions { python: Some("/nonexistent/python3".into()), ..CpythonOptions::default() };
    let error = CpythonExecutor::create(options, Services::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.to_string().contains("/nonexistent/python3") && error.hint.is_some());
}
