//! Measures a model on this machine: decoding, prefill, an update, and the memory they took.
//!
//! `cargo run --release -p azr-backend-cpu --example policy_speed -- MODEL [THREADS]`
#![expect(clippy::print_stdout, reason = "a measurement is for reading")]

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use azr_backend_cpu::{CpuBackend, Options};
use azr_plugin::{
    Backend, CallContext, Engine, GenerateRequest, LossSpec, ModelSpec, OptimizerKind,
    OptimizerSpec, PluginError, Policy, Quiet, Ratio, Sampling, Services, TrainSequence,
    UpdateBounds, UpdateRequest,
};

const PROMPT_TOKENS: usize = 150;
const NEW_TOKENS: u32 = 48;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: policy_speed MODEL [THREADS]")?;
    let threads = arguments.next().map(|text| text.parse()).transpose()?;
    let backend =
        CpuBackend::create(Options { threads, ..Options::default() }, Services::default())?;
    let model = ModelSpec {
        path: Path::new(&path).to_path_buf(),
        vocabulary: Vec::new(),
        eos: Vec::new(),
        learns: true,
    };
    let start = Instant::now();
    let mut policy = backend.open(&model)?;
    println!("{:?}, opened in {:.1} s", policy.info(), start.elapsed().as_secs_f64());
    for batch in [1, 8, 32, 64] {
        decode(&mut *policy, batch)?;
    }
    prefill(&mut *policy)?;
    println!("peak memory after generation: {} MiB", peak_memory_mib());
    for _ in 0..2 {
        update(&mut *policy)?;
    }
    println!("peak memory: {} MiB", peak_memory_mib());
    Ok(())
}

/// Decodes samples of prompts with 8 samples each.
fn decode(policy: &mut dyn Policy, batch: u64) -> Result<(), PluginError> {
    let sampling =
        Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: NEW_TOKENS, stop: Vec::new() };
    let n_prompts = batch.div_ceil(8);
    let requests: Vec<GenerateRequest> = (0..n_prompts)
        .map(|i| GenerateRequest {
            prompt: tokens(i as usize, PROMPT_TOKENS),
            seeds: (0..batch / n_prompts).collect(),
            sampling: sampling.clone(),
        })
        .collect();
    let clock = Clock::default();
    let cpu_start = cpu_seconds();
    policy.generate(&requests, &Quiet, &clock)?;
    let times = clock.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut steps: Vec<f64> =
        times.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect();
    steps.sort_by(f64::total_cmp);
    if let (Some(median), Some(best)) = (steps.get(steps.len() / 2), steps.first()) {
        let rate = |step: &f64| batch as f64 / step;
        let cpu_ms = (cpu_seconds() - cpu_start) * 1e3 / (batch * u64::from(NEW_TOKENS)) as f64;
        println!(
            "decode, batch {batch}: {:.0} tokens/s by the median step ({:.0} best), {cpu_ms:.1} ms of processor a token",
            rate(median),
            rate(best)
        );
    }
    Ok(())
}

fn prefill(policy: &mut dyn Policy) -> Result<(), PluginError> {
    let sampling = Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 1, stop: Vec::new() };
    let request =
        |i| GenerateRequest { prompt: tokens(i, 512), seeds: vec![0], sampling: sampling.clone() };
    let start = Instant::now();
    policy.generate(&[request(7), request(8)], &Quiet, &Quiet)?;
    println!("prefill: {:.0} tokens/s", 1024.0 / start.elapsed().as_secs_f64());
    Ok(())
}

/// 4 prompts with 8 answers of 64 tokens each.
fn update(policy: &mut dyn Policy) -> Result<(), PluginError> {
    let n = 64;
    let sequences: Vec<TrainSequence> = (0..32)
        .map(|i| TrainSequence {
            prompt: tokens(i / 8, PROMPT_TOKENS),
            response: tokens(100 + i, n),
            behaviour_logprobs: vec![-15.0; n],
            reference_logprobs: Vec::new(),
            advantages: vec![if i % 2 == 0 { 1.0 } else { -1.0 }; n],
            weights: vec![1.0 / 2048.0; n],
        })
        .collect();
    let (n_sequence_tokens, n_response_tokens) = (32 * (PROMPT_TOKENS + n), 32 * n);
    let request = UpdateRequest {
        sequences,
        loss: LossSpec {
            ratio: Ratio::Token,
            clip_low: 0.2,
            clip_high: 1e6,
            dual_clip: None,
            entropy_coef: 0.001,
            kl_coef: 0.0,
            temperature: 1.0,
        },
        optimizer: OptimizerSpec {
            kind: OptimizerKind::Adamw,
            learning_rate: 1e-7,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
        },
        bounds: UpdateBounds::default(),
    };
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    policy.update(&request, &Quiet)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu_start;
    println!(
        "update: {:.0} sequence tokens/s, {:.0} response tokens/s ({seconds:.1} s, {cpu:.1} s of processor)",
        n_sequence_tokens as f64 / seconds,
        n_response_tokens as f64 / seconds,
    );
    Ok(())
}

/// Token ids that every vocabulary has.
fn tokens(seed: usize, len: usize) -> Vec<u32> {
    (0..len).map(|i| ((seed * 7919 + i * i * 31 + i * 17) % 997) as u32).collect()
}

/// Remembers when each decoding step was done.
#[derive(Default)]
struct Clock(Mutex<Vec<(Instant, u64)>>);

impl CallContext for Clock {
    fn progress(&self, done: u64, _total: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), done));
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Processor time of all threads of this process, where the system tells: on a shared machine the fairer clock.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Largest resident size of this process so far, where the system tells.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok())
        .map_or(0, |kib: u64| kib >> 10)
}
