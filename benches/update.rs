//! Updates: forward, backward and AdamW on groups of 8 responses of 120 tokens to a prompt of 150.
//!
//! The floor counts what must be computed: each prompt once, the head on response tokens alone. `cargo xtask bench update`
//! measures one group and a whole update of 6, which takes minutes.
#![expect(clippy::unwrap_used, reason = "a bench ends at its first surprise")]

use std::sync::Arc;

use azr_bench::{Shape, Suite, Work, qwen2_5_0_5b, smollm2_135m};
use azr_cpu::Cpu;
use azr_plugin::{LossSpec, Quiet, TrainSequence, UpdateBounds, UpdateRequest};
use azr_transformer::{DEFAULT_MICRO_BATCH_ROWS, Model};
use azr_weights::ModelConfig;

const N_PROMPT: usize = 150;
const N_RESPONSE: usize = 120;
const GROUP: usize = 8;

fn tokens(seed: usize, n: usize, vocab_size: usize) -> Vec<u32> {
    (0..n).map(|i| ((seed * 7919 + i * 31) % vocab_size) as u32).collect()
}

fn request(n_groups: usize, vocab_size: usize) -> UpdateRequest {
    let sequence = |index: usize| TrainSequence {
        prompt: tokens(index / GROUP, N_PROMPT, vocab_size),
        response: tokens(1000 + index, N_RESPONSE, vocab_size),
        advantages: vec![if index.is_multiple_of(2) { 1.0 } else { -1.0 }; N_RESPONSE],
        behaviour_logprobs: vec![-5.0; N_RESPONSE],
        weights: vec![1.0 / N_RESPONSE as f32; N_RESPONSE],
        ..TrainSequence::default()
    };
    UpdateRequest {
        sequences: (0..n_groups * GROUP).map(sequence).collect(),
        loss: LossSpec::default(),
        optimizer: azr_bench::adamw(),
        bounds: UpdateBounds::default(),
    }
}

/// Floating-point operations of an update: a forward pass, and a backward pass of twice as many.
fn flops(config: &ModelConfig, n_groups: usize) -> f64 {
    let shape = Shape(config);
    let prefix = N_PROMPT - 1;
    let n_seen = prefix * (prefix + 1) / 2
        + GROUP * (N_RESPONSE * prefix + N_RESPONSE * (N_RESPONSE + 1) / 2);
    let n_rows = prefix + GROUP * N_RESPONSE;
    let products = n_rows as f64 * shape.body() + (GROUP * N_RESPONSE) as f64 * shape.head();
    3.0 * n_groups as f64 * (2.0 * products + shape.attention(n_seen))
}

fn main() {
    let mut suite = Suite::from_args("update");
    let cpu = Arc::new(Cpu::new(None).unwrap());
    for (name, config, groups) in [
        ("SmolLM2-135M", smollm2_135m(), &[1, 6][..]),
        ("Qwen2.5-Coder-0.5B", qwen2_5_0_5b(), &[1]),
    ] {
        let mut model = Model::random(cpu.clone(), config.clone(), 1).unwrap();
        for &n_groups in groups {
            let request = request(n_groups, config.vocab_size);
            // Every token of every sequence counts, as it does for those who compute each sequence alone.
            let n_tokens = n_groups * GROUP * (N_PROMPT + N_RESPONSE);
            let work = Work {
                flops: flops(&config, n_groups),
                bytes: 0.0,
                makes: Some((n_tokens as f64, "tokens")),
            };
            suite.bench(&format!("{name}, {n_groups} groups of {GROUP}"), work, || {
                model.update(&request, DEFAULT_MICRO_BATCH_ROWS, &Quiet).unwrap();
            });
        }
    }
    suite.finish();
}
