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

#[test]
fn a_lost_zygote_is_replaced() {
    let _turn = turn();
    let executor = executor(Policy::Strict, 1);
    let zygote = std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned();
        (parent == std::process::id().to_string()).then(|| entry.file_name().into_string().ok())?
    });
    let killed =
        std::process::Command::new("kill").args(["-9", &zygote.unwrap()]).status().unwrap();
    assert!(killed.success());
    let outcomes = run_all(&executor, "def f(x): return x", &["1", "2"], Purpose::Check);
    assert!(matches!(outcomes[0], Outcome::Crashed(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], value("2"));
}

#[test]
fn a_missing_interpreter_is_unavailable() {
    let options =
        CpythonOptions { python: Some("/nonexistent/python3".into()), ..CpythonOptions::default() };
    let error = CpythonExecutor::create(options, Services::default()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert!(error.to_string().contains("/nonexistent/python3") && error.hint.is_some());
}
