//! Generation: tokens per second of decoding, prompts not counted.
//!
//! Every sample has a prompt of its own, as peers compute them, unless it is asked for otherwise.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use azr_bench::Shape;
use azr_plugin::{CallContext, GenerateRequest, Quiet, Sampling};
use azr_transformer::{CopyFormat, GenerateLimits, Model, TrainingOptions, Vocabulary};
use azr_weights::ModelConfig;

use crate::gpu::Gpu;
use crate::report::{Limits, Line, Report, Work};

/// What is generated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) n_samples: usize,
    /// Samples of a prompt.
    pub(crate) n_sharing: usize,
    pub(crate) n_prompt: usize,
    pub(crate) n_new: usize,
}

/// Notes when each step was done.
#[derive(Default)]
struct Steps(Mutex<Vec<Instant>>);

impl CallContext for Steps {
    fn progress(&self, _done: u64, _total: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Limits with room for everything at once.
pub(crate) const fn roomy(n_samples: usize) -> GenerateLimits {
    GenerateLimits { max_live_rows: n_samples, kv_cache_bytes: 64 << 30, prefill_rows: 8192 }
}

/// Requests whose prompts differ from the first token on.
pub(crate) fn requests(batch: Batch, vocab_size: usize) -> Vec<GenerateRequest> {
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        max_new_tokens: batch.n_new as u32,
        stop: Vec::new(),
    };
    let seeds: Vec<u64> = (0..batch.n_samples as u64).collect();
    let request = |(index, seeds): (usize, &[u64])| GenerateRequest {
        prompt: tokens(index, batch.n_prompt, vocab_size),
        seeds: seeds.to_vec(),
        sampling: sampling.clone(),
    };
    seeds.chunks(batch.n_sharing).enumerate().map(request).collect()
}

/// Some tokens, those of two seeds different from the first on; `peers.py` has the same.
pub(crate) fn tokens(seed: usize, n: usize, vocab_size: usize) -> Vec<u32> {
    (0..n).map(|index| ((seed * 7919 + index * 31) % vocab_size) as u32).collect()
}

/// Floor of a step in the middle: weights once, and the keys and values of every prompt and sample.
fn step_work(config: &ModelConfig, batch: Batch, weight_bytes: f64, act: f64) -> Work {
    let shape = Shape(config);
    let n_weights = shape.body() + shape.head();
    let n_own = batch.n_new / 2;
    let n_cached =
        batch.n_samples.div_ceil(batch.n_sharing) * batch.n_prompt + batch.n_samples * n_own;
    // `cache_row` is of float32.
    let row_bytes = shape.cache_row() / 4.0 * act;
    Work {
        flops: batch.n_samples as f64 * (2.0 * n_weights + shape.attention(batch.n_prompt + n_own)),
        bytes: weight_bytes * n_weights + row_bytes * n_cached as f64,
    }
}

/// Measures each batch with the weights themselves or copies of them.
pub(crate) fn run<D: Gpu>(
    report: &mut Report,
    limits: Limits,
    name: &str,
    model: &mut Model<D>,
    batches: &[Batch],
    rollout_weights: Option<CopyFormat>,
) -> Result<()> {
    let config = model.config().clone();
    let device = model.device().clone();
    let act = device.activation_precision().bytes() as f64;
    let (weight_bytes, suffix) = match rollout_weights {
        None => (act, ""),
        Some(CopyFormat::Bf16) => (2.0, ", bf16 copies"),
        Some(CopyFormat::Int8) => (1.0, ", int8 copies"),
    };
    model.set_training_options(TrainingOptions { rollout_weights, ..Default::default() })?;
    for &batch in batches {
        let sharing = match batch.n_sharing {
            1 => String::new(),
            n => format!(", {n} a prompt"),
        };
        let line =
            Line::ours("decode", name, format!("batch {}{sharing}{suffix}", batch.n_samples))
                .floor(step_work(&config, batch, weight_bytes, act), limits);
        report.measure(line, |line| {
            let (first_s, step_s) = step_seconds(model, batch)?;
            Ok(Line {
                seconds: Some(step_s),
                rate: Some(batch.n_samples as f64 / step_s),
                peak_bytes: device.peak_bytes(),
                text: Some(format!("prompts and first token {first_s:.3} s")),
                ..line
            })
        })?;
    }
    Ok(())
}

/// Seconds until the first token of all samples, and mean seconds of a step after it. Of the second of two runs: the
/// first loads kernels and chooses algorithms.
fn step_seconds<D: Gpu>(model: &mut Model<D>, batch: Batch) -> Result<(f64, f64)> {
    let requests = requests(batch, model.config().vocab_size);
    let mut found = (0.0, 0.0);
    for _ in 0..2 {
        let (start, steps) = (Instant::now(), Steps::default());
        let limits = roomy(batch.n_samples);
        let completions =
            model.generate(&requests, &Vocabulary::default(), &limits, &Quiet, &steps)?;
        let n_tokens: usize = completions.iter().flatten().map(|c| c.tokens.len()).sum();
        let wanted = batch.n_samples * batch.n_new;
        ensure!(n_tokens == wanted, "{n_tokens} tokens instead of {wanted}");
        let times = steps.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        ensure!(times.len() == batch.n_new, "{} steps instead of {}", times.len(), batch.n_new);
        let first = (times[0] - start).as_secs_f64();
        let rest = (times[batch.n_new - 1] - times[0]).as_secs_f64();
        found = (first, rest / (batch.n_new - 1).max(1) as f64);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use azr_transformer::reference::Reference;

    use super::*;
    use crate::{models, random};

    #[test]
    fn every_token_is_counted() {
        let device = Arc::new(Reference);
        let mut model = random::model(&device, &models::tiny()).unwrap();
        let limits = Limits { copy_bytes_per_s: 1e9, gemm_flops_per_s: 1e12 };
        let mut report = Report::new(None, None).unwrap();
        let batch = Batch { n_samples: 3, n_sharing: 1, n_prompt: 7, n_new: 4 };
        run(&mut report, limits, "tiny", &mut model, &[batch], None).unwrap();
        let shared = Batch { n_sharing: 2, ..batch };
        run(&mut report, limits, "tiny", &mut model, &[shared], Some(CopyFormat::Int8)).unwrap();
        assert!(!report.has_problems(), "{:#?}", report.lines());
        let cases: Vec<&str> = report.lines().iter().map(|line| &*line.case).collect();
        assert_eq!(cases, ["batch 3", "batch 3, 2 a prompt, int8 copies"]);
        assert!(report.lines().iter().all(|line| line.rate > Some(0.0)));
    }

    #[test]
    fn a_step_reads_weights_once_and_all_keys() {
        let config = models::model("qwen2.5-7b").unwrap();
        let batch = Batch { n_samples: 256, n_sharing: 1, n_prompt: 512, n_new: 128 };
        let work = step_work(&config, batch, 2.0, 2.0);
        let shape = Shape(&config);
        assert_eq!(work.bytes, 2.0 * (shape.body() + shape.head()) + 57_344.0 * 256.0 * 576.0);
        let shared = step_work(&config, Batch { n_sharing: 8, ..batch }, 2.0, 2.0);
        assert_eq!(work.bytes - shared.bytes, 57_344.0 * 512.0 * (256.0 - 32.0));
    }
}
