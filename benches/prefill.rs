//! Prefill: prompts of 512 tokens, computed for generation; one token is sampled for each.
//!
//! `cargo xtask bench prefill [FILTER]`
#![expect(clippy::unwrap_used, reason = "a bench ends at its first surprise")]

use std::sync::Arc;

use azr_bench::{Shape, Suite, Work, qwen2_5_0_5b, smollm2_135m};
use azr_cpu::Cpu;
use azr_plugin::{GenerateRequest, Quiet, Sampling};
use azr_transformer::{GenerateLimits, Model, Vocabulary};

const N_PROMPT: usize = 512;

fn main() {
    let mut suite = Suite::from_args("prefill");
    let cpu = Arc::new(Cpu::new(None).unwrap());
    for (name, config, n_prompts) in
        [("SmolLM2-135M", smollm2_135m(), 2), ("Qwen2.5-Coder-0.5B", qwen2_5_0_5b(), 1)]
    {
        let mut model = Model::random(cpu.clone(), config.clone(), 1).unwrap();
        let shape = Shape(&config);
        let request = |index: usize| GenerateRequest {
            prompt: (0..N_PROMPT)
                .map(|i| ((index * 7919 + i * 31) % config.vocab_size) as u32)
                .collect(),
            seeds: vec![1],
            sampling: Sampling {
                temperature: 1.0,
                top_p: 1.0,
                max_new_tokens: 1,
                stop: Vec::new(),
            },
        };
        let requests: Vec<_> = (0..n_prompts).map(request).collect();
        let n_tokens = (n_prompts * N_PROMPT) as f64;
        let attention = shape.attention(n_prompts * N_PROMPT * (N_PROMPT + 1) / 2);
        let work = Work {
            flops: 2.0 * (n_tokens * shape.body() + n_prompts as f64 * shape.head()) + attention,
            bytes: 0.0,
            makes: Some((n_tokens, "tokens")),
        };
        suite.bench(&format!("{name}, {n_prompts} x {N_PROMPT} tokens"), work, || {
            let limits = GenerateLimits::default();
            model.generate(&requests, &Vocabulary::default(), &limits, &Quiet, &Quiet).unwrap();
        });
    }
    suite.finish();
}
