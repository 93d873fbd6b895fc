//! Decoding: the time of one step, which makes a token for every live sample.
//!
//! Prompts of 150 tokens, each shared by up to 8 samples, weights of SmolLM2-135M's and Qwen2.5-Coder-0.5B's shapes,
//! float32, bfloat16 and int8.
//! `cargo xtask bench decode [FILTER]`
#![expect(clippy::unwrap_used, reason = "a bench ends at its first surprise")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use azr_bench::{Shape, Suite, Work, qwen2_5_0_5b, smollm2_135m};
use azr_cpu::Cpu;
use azr_plugin::{CallContext, GenerateRequest, Quiet, Sampling};
use azr_transformer::{CopyFormat, GenerateLimits, Model, TrainingOptions, Vocabulary};

const N_PROMPT: usize = 150;
const N_NEW: usize = 25;
const N_SHARING: usize = 8;

/// Notes when each step was done.
#[derive(Default)]
struct Steps(Mutex<Vec<Instant>>);

impl CallContext for Steps {
    fn progress(&self, _done: u64, _total: u64) {
        self.0.lock().unwrap().push(Instant::now());
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Steps {
    /// Mean time of a step but the first, which has the prompts computed.
    fn mean(self) -> Duration {
        let times = self.0.into_inner().unwrap();
        let n_steps = times.len() as u32 - 1;
        (*times.last().unwrap() - times[0]) / n_steps
    }
}

fn requests(n_samples: usize, vocab_size: usize) -> Vec<GenerateRequest> {
    let sampling =
        Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: N_NEW as u32, stop: Vec::new() };
    let seeds: Vec<u64> = (0..n_samples as u64).collect();
    let request = |(index, seeds): (usize, &[u64])| GenerateRequest {
        prompt: (0..N_PROMPT).map(|i| ((index * 7919 + i * 31) % vocab_size) as u32).collect(),
        seeds: seeds.to_vec(),
        sampling: sampling.clone(),
    };
    seeds.chunks(N_SHARING).enumerate().map(request).collect()
}

fn main() {
    let mut suite = Suite::from_args("decode");
    let cpu = Arc::new(Cpu::new(None).unwrap());
    for (name, config, batches) in [
        ("SmolLM2-135M", smollm2_135m(), &[1, 8, 32, 64][..]),
        ("Qwen2.5-Coder-0.5B", qwen2_5_0_5b(), &[1, 32]),
    ] {
        let mut model = Model::random(cpu.clone(), config.clone(), 1).unwrap();
        let shape = Shape(&config);
        let n_weights = shape.body() + shape.head();
        let rollouts = [
            (None, 4.0, ""),
            (Some(CopyFormat::Bf16), 2.0, ", bf16"),
            (Some(CopyFormat::Int8), 1.0, ", int8"),
        ];
        for (&batch, (rollout_weights, weight_bytes, suffix)) in
            batches.iter().flat_map(|batch| rollouts.map(|rollout| (batch, rollout)))
        {
            let options = TrainingOptions { rollout_weights, ..TrainingOptions::default() };
            model.set_training_options(options).unwrap();
            let requests = requests(batch, config.vocab_size);
            let n_seen = N_PROMPT + N_NEW / 2;
            let n_cached = batch.div_ceil(N_SHARING) * N_PROMPT + batch * N_NEW / 2;
            // Arithmetic with integers counts as that with float32, which a machine may exceed.
            let work = Work {
                flops: batch as f64 * (2.0 * n_weights + shape.attention(n_seen)),
                bytes: weight_bytes * n_weights + shape.cache_row() * n_cached as f64,
                makes: Some((batch as f64, "tokens")),
            };
            suite.bench_custom(&format!("{name}, batch {batch}{suffix}"), work, |n_times| {
                let run = |_| {
                    let (steps, limits) = (Steps::default(), GenerateLimits::default());
                    model
                        .generate(&requests, &Vocabulary::default(), &limits, &Quiet, &steps)
                        .unwrap();
                    steps.mean()
                };
                (0..n_times).map(run).sum()
            });
        }
    }
    suite.finish();
}
