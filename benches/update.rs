//! Updates: forward, backward and AdamW on groups of 8 responses of 120 tokens to a prompt of 150.
//!
//! The floor counts what must be computed: each prompt once, the head on response tokens alone. `cargo xtask bench update`
//! measures one group, a whole update of 6, which takes minutes, and sequences of the same length without a prompt.
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

/// Groups of sequences that share a prompt.
#[derive(Clone, Copy)]
struct Groups {
    n_groups: usize,
    n_prompt: usize,
    n_response: usize,
}

fn request(groups: Groups, vocab_size: usize) -> UpdateRequest {
    let Groups { n_groups, n_prompt, n_response } = groups;
    let sequence = |index: usize| TrainSequence {
        prompt: tokens(index / GROUP, n_prompt, vocab_size),
        response: tokens(1000 + index, n_response, vocab_size),
        advantages: vec![if index.is_multiple_of(2) { 1.0 } else { -1.0 }; n_response],
        behaviour_logprobs: vec![-5.0; n_response],
        weights: vec![1.0 / n_response as f32; n_response],
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
fn flops(config: &ModelConfig, groups: Groups) -> f64 {
    let Groups { n_groups, n_prompt, n_response } = groups;
    let shape = Shape(config);
    let prefix = n_prompt - 1;
    let n_seen = prefix * (prefix + 1) / 2
        + GROUP * (n_response * prefix + n_response * (n_response + 1) / 2);
    let n_rows = prefix + GROUP * n_response;
    let products = n_rows as f64 * shape.body() + (GROUP * n_response) as f64 * shape.head();
    3.0 * n_groups as f64 * (2.0 * products + shape.attention(n_seen))
}

fn main() {
    let mut suite = Suite::from_args("update");
    let cpu = Arc::new(Cpu::new(None).unwrap());
    let shared = |n_groups| Groups { n_groups, n_prompt: N_PROMPT, n_response: N_RESPONSE };
    // A prompt needs a token.
    let whole = Groups { n_groups: 1, n_prompt: 1, n_response: N_PROMPT + N_RESPONSE - 1 };
    let smollm2 =
        [("group of 8", shared(1)), ("6 groups of 8", shared(6)), ("every token trained", whole)];
    for (name, config, cases) in [
        ("SmolLM2-135M", smollm2_135m(), &smollm2[..]),
        ("Qwen2.5-Coder-0.5B", qwen2_5_0_5b(), &smollm2[..1]),
    ] {
        let mut model = Model::random(cpu.clone(), config.clone(), 1).unwrap();
        for &(case, groups) in cases {
            let request = request(groups, config.vocab_size);
            // Every token of every sequence counts, as it does for those who compute each sequence alone.
            let n_tokens = groups.n_groups * GROUP * (N_PROMPT + N_RESPONSE);
            let work = Work {
                flops: flops(&config, groups),
                bytes: 0.0,
                makes: Some((n_tokens as f64, "tokens")),
            };
            suite.bench(&format!("{name}, {case}"), work, || {
                model.update(&request, DEFAULT_MICRO_BATCH_ROWS, &Quiet).unwrap();
            });
        }
    }
    suite.finish();
}
