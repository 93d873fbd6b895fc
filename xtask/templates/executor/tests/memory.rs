//! What it asks and what it remembers. The conformance kit needs an executor that can run Python, and so a host:
//! `azr plugins check target/release/libmy_plugin.so`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use azr_plugin::serde_json::Value;
use azr_plugin::{
    CallContext, Engine, ErrorCode, Executor, ExecutorSource, Job, JobReport, LimitKind, Limits,
    Outcome, PluginError, Protection, Purpose, Quiet, Result, Services,
};
use my_plugin::{Options, Remembering};

/// Counts what it is asked. The program `slow` runs into its limit.
#[derive(Debug, Default)]
struct Counting(AtomicU32);

impl Executor for Counting {
    fn run(&self, jobs: &[Job], _: &dyn CallContext) -> Result<Vec<JobReport>> {
        let report = |job: &Job| {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let outcome = match job.program.as_str() {
                "slow" => Outcome::Limit(LimitKind::Wall),
                _ => Outcome::Value(number.to_string()),
            };
            JobReport { outcomes: vec![outcome], executor: "counting".into() }
        };
        Ok(jobs.iter().map(report).collect())
    }

    fn protections(&self) -> Vec<Protection> {
        Vec::new()
    }
}

struct Host(Arc<Counting>);

impl ExecutorSource for Host {
    fn executor(&self, name: &str, _: &Value) -> Result<Arc<dyn Executor>> {
        match name {
            "counting" => Ok(self.0.clone()),
            _ => Err(PluginError::new(ErrorCode::NotFound, name)),
        }
    }
}

fn engine(through: &str, capacity: usize) -> Result<(Remembering, Arc<Counting>)> {
    let counting = Arc::new(Counting::default());
    let services =
        Services { executor: None, executors: Some(Arc::new(Host(Arc::clone(&counting)))) };
    let options = Options { through: through.into(), capacity, ..Options::default() };
    Ok((Remembering::create(options, services)?, counting))
}

fn job(program: &str) -> Job {
    let (purpose, limits) = (Purpose::Check, Limits::default());
    Job { program: program.into(), calls: vec!["[]".into()], purpose, limits, pinned: None }
}

fn values(reports: &[JobReport]) -> Vec<Outcome> {
    reports.iter().map(|report| report.outcomes[0].clone()).collect()
}

#[test]
fn a_job_is_asked_once_and_reports_keep_their_order() {
    let (engine, counting) = engine("counting", 8).unwrap();
    let first = engine.run(&[job("a"), job("b")], &Quiet).unwrap();
    let second = engine.run(&[job("c"), job("b"), job("a")], &Quiet).unwrap();
    assert_eq!(counting.0.load(Ordering::Relaxed), 3);
    let [a, b, c] = [0, 1, 2].map(|number: u32| Outcome::Value(number.to_string()));
    assert_eq!(values(&first), [a.clone(), b.clone()]);
    assert_eq!(values(&second), [c, b, a]);
}

#[test]
fn what_depends_on_the_machine_is_asked_again_and_memory_is_bounded() {
    let (engine, counting) = engine("counting", 1).unwrap();
    for program in ["slow", "slow", "a", "b", "a"] {
        engine.run(&[job(program)], &Quiet).unwrap();
    }
    assert_eq!(counting.0.load(Ordering::Relaxed), 5);
}

#[test]
fn it_needs_a_host_with_that_executor() {
    assert_eq!(engine("none", 8).unwrap_err().code, ErrorCode::NotFound);
    let alone = Remembering::create(Options::default(), Services::default());
    assert_eq!(alone.unwrap_err().code, ErrorCode::Unavailable);
}
