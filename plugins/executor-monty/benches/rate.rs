//! Programs per second on programs in the style of what models propose, by number of workers.

#![expect(clippy::expect_used, reason = "a measurement that fails should say so and end")]

use azr_executor_monty::{MontyExecutor, MontyOptions};
use azr_executor_suite::corpus;
use azr_plugin::{Engine, Executor, Job, Limits, Purpose, Quiet, Services};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Programs in one batch; about what a training step runs.
const N_PROGRAMS: usize = 2_000;

fn rate(criterion: &mut Criterion) {
    let job = |triplet: corpus::Triplet| Job {
        program: triplet.program,
        calls: vec![triplet.call],
        purpose: Purpose::Check,
        limits: Limits::default(),
        pinned: None,
    };
    let jobs: Vec<Job> = corpus::triplets(0, N_PROGRAMS).into_iter().map(job).collect();
    let mut group = criterion.benchmark_group("triplets");
    group.throughput(Throughput::Elements(jobs.len() as u64)).sample_size(10);
    for workers in [1, 2] {
        let worker = Some(env!("CARGO_BIN_EXE_azr-monty-worker").into());
        let options = MontyOptions { workers, worker, ..MontyOptions::default() };
        let executor = MontyExecutor::create(options, Services::default()).expect("workers start");
        group.bench_function(BenchmarkId::new("workers", workers), |bencher| {
            bencher.iter(|| executor.run(&jobs, &Quiet).expect("programs run"));
        });
    }
    group.finish();
}

criterion_group!(benches, rate);
criterion_main!(benches);
