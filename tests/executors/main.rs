//! The executors as `azr` has them: its own binary is the worker of the embedded one.
//!
//! The tests take turns, because the suite watches what this process starts.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azr_executor_suite::corpus::{self, triplets};
use azr_executor_suite::hostile::{self, Gate, Settings};
use azr_host::Host;
use azr_plugin::{Executor, Job, Limits, Outcome, Purpose, Quiet};
use serde_json::{Value, json};

/// Number of corpus programs that the executors are compared on.
const N_PROGRAMS: usize = 600;

fn take_turns() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host() -> Host {
    let mut host = Host::new();
    for module in [
        azr_executor_auto::plugin_module(),
        azr_executor_cpython::plugin_module(),
        azr_executor_monty::plugin_module(),
    ] {
        host.register_builtin(module).unwrap();
    }
    host
}

fn monty_options() -> Value {
    json!({ "worker": env!("CARGO_BIN_EXE_azr") })
}

fn auto(full: Value) -> Result<Arc<dyn Executor>, azr_host::HostError> {
    let embedded = json!({ "name": "monty", "options": monty_options() });
    host().create_executor("auto", json!({ "embedded": embedded, "full": full }))
}

fn both() -> Arc<dyn Executor> {
    auto(json!({ "name": "cpython" })).unwrap()
}

fn jobs(n: usize, purpose: Purpose) -> Vec<Job> {
    let job = |triplet: corpus::Triplet| Job {
        program: triplet.program,
        calls: vec![triplet.call],
        purpose,
        limits: Limits::default(),
        pinned: None,
    };
    triplets(11, n).into_iter().map(job).collect()
}

#[test]
fn auto_gives_cpythons_outcomes() {
    let _turn = take_turns();
    let cpython = host().create_executor("cpython", json!({})).unwrap();
    let report = corpus::compare(&*cpython, &*both(), Purpose::Check, 1, N_PROGRAMS).unwrap();
    assert_eq!(report.n, N_PROGRAMS);
    assert!(report.wrong.is_empty(), "{:#?}", report.wrong);
    assert!(report.other.is_empty(), "{:#?}", report.other);
    assert_eq!(report.n_unsupported, 0);
    assert_eq!(report.n_equal + report.n_unsettled, N_PROGRAMS);
    println!("{:?}", report.kinds);
}

#[test]
fn gold_is_agreed_and_pinned_to_who_was_right() {
    let _turn = take_turns();
    let auto = both();
    let mut gold = jobs(N_PROGRAMS, Purpose::Gold);
    let established = auto.run(&gold, &Quiet).unwrap();
    let mut pins = BTreeMap::new();
    for report in &established {
        *pins.entry(report.executor.as_str()).or_insert(0) += 1;
    }
    println!("{pins:?}");
    assert!(pins["monty"] > N_PROGRAMS / 2 && pins["cpython"] > 0, "{pins:?}");
    // What was established is what a check by the pinned executor finds.
    for (job, report) in gold.iter_mut().zip(&established) {
        job.purpose = Purpose::Check;
        job.pinned = Some(report.executor.clone());
    }
    let checked = auto.run(&gold, &Quiet).unwrap();
    let mut n_values = 0;
    for ((job, gold), check) in gold.iter().zip(&established).zip(&checked) {
        if let [Outcome::Value(value)] = gold.outcomes.as_slice() {
            n_values += 1;
            let [Outcome::Value(found)] = check.outcomes.as_slice() else {
                panic!("{}\n{value} was established, {:?} found", job.program, check.outcomes);
            };
            let read = |text: &str| azr_executor::Value::from_canonical(text).unwrap();
            let agree = azr_executor::equality::agree(&read(value), &read(found));
            assert!(agree, "{}\n{value} {found}", job.program);
        }
    }
    assert!(n_values > N_PROGRAMS * 8 / 10, "{n_values}");
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let _turn = take_turns();
    let with = |workers: usize| {
        let embedded = json!({ "name": "monty", "options": monty_options() });
        let options = json!({ "embedded": embedded, "workers": workers });
        let executor = host().create_executor("auto", options).unwrap();
        executor.run(&jobs(100, Purpose::Check), &Quiet).unwrap()
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn hostile_programs_are_contained() {
    let _turn = take_turns();
    let auto = both();
    for purpose in [Purpose::Check, Purpose::Gold] {
        let settings = Settings { purpose, ..Settings::new(Gate::Strict) };
        let failures = hostile::check(&*auto, &hostile::all(), &settings);
        assert!(failures.is_empty(), "{purpose:?}: {failures:#?}");
    }
}

#[test]
fn either_executor_works_alone_and_says_so() {
    let _turn = take_turns();
    let nowhere = json!({ "name": "cpython", "options": { "python": "/nonexistent/python" } });
    let alone = auto(nowhere.clone()).unwrap();
    let missing: Vec<_> = alone.protections().into_iter().filter(|entry| !entry.in_force).collect();
    let missing = missing.iter().find(|entry| entry.name == "executor-cpython").unwrap();
    assert!(missing.detail.contains("/nonexistent/python"), "{}", missing.detail);
    let job = Job {
        program: "def f(x):\n    return x + 1\n".to_owned(),
        calls: vec!["1".to_owned()],
        purpose: Purpose::Gold,
        limits: Limits::default(),
        pinned: None,
    };
    let reports = alone.run(std::slice::from_ref(&job), &Quiet).unwrap();
    assert_eq!(reports[0].outcomes, [Outcome::Value("2".to_owned())]);
    assert_eq!(reports[0].executor, "monty");
    let pinned = |name: &str| Job { pinned: Some(name.to_owned()), ..job.clone() };
    let error = alone.run(&[pinned("cpython")], &Quiet).unwrap_err();
    assert!(error.message.contains("cpython") && error.hint.is_some(), "{error}");

    let embedded = json!({ "name": "monty", "options": { "worker": "/bin/cat" } });
    let alone = host().create_executor("auto", json!({ "embedded": embedded })).unwrap();
    let reports = alone.run(&[job.clone(), pinned("monty")], &Quiet).unwrap();
    assert!(reports.iter().all(|report| report.executor == "cpython"), "{reports:?}");
    assert_eq!(reports[0].outcomes, reports[1].outcomes);

    let strict = json!({ "embedded": embedded, "full": nowhere, "sandbox": "strict" });
    assert!(host().create_executor("auto", strict).is_err());
}

/// Slow: a hundred thousand programs. A wave leaves up to 1.5 MB behind for a while, depending on which thread freed
/// what, so that the least of several waves is compared: 3 % of growth would be 13 bytes a program.
#[test]
#[ignore = "slow: run with `cargo xtask test-slow`"]
fn slow_a_hundred_thousand_executions_leave_nothing_behind() {
    let _turn = take_turns();
    let auto = both();
    let wave = jobs(5_000, Purpose::Check);
    let mut resident = Vec::new();
    for _ in 0..20 {
        let reports = auto.run(&wave, &Quiet).unwrap();
        assert_eq!(reports.len(), wave.len());
        resident.push(resident_bytes());
    }
    println!("{resident:?}");
    let least = |waves: &[usize]| *waves.iter().min().unwrap();
    let (early, late) = (least(&resident[3..8]), least(&resident[15..]));
    assert!(late * 100 <= early * 103, "grew from {early} to {late} bytes");
}

/// Resident size of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}
