//! Updates with every token trained, and whole steps of self-play without its checks.

use std::time::Instant;

use anyhow::{Result, ensure};
use azr_bench::Shape;
use azr_plugin::{
    Completion, LossSpec, OptimizerKind, Quiet, TrainSequence, UpdateBounds, UpdateReport,
    UpdateRequest,
};
use azr_transformer::{
    MemoryPlan, Model, PolicyLimits, StatePrecision, TrainingOptions, Vocabulary, Workload,
};
use azr_weights::ModelConfig;

use crate::decode::{Batch, requests, roomy, tokens};
use crate::gpu::{Gpu, median};
use crate::report::{Limits, Line, Report, Work};

/// Log-prob that sequences are said to have had when they were sampled.
const BEHAVIOUR_LOGPROB: f32 = -5.0;

/// What is learned from, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) n_sequences: usize,
    pub(crate) n_tokens: usize,
    /// Most rows that are computed together.
    pub(crate) micro_batch_rows: usize,
    /// Updates that are measured, after one that is not.
    pub(crate) n_repeats: usize,
    pub(crate) gradient_checkpointing: bool,
    pub(crate) optimizer_state: StatePrecision,
}

impl Update {
    pub(crate) fn options(self) -> TrainingOptions {
        TrainingOptions {
            optimizer_state: self.optimizer_state,
            gradient_checkpointing: self.gradient_checkpointing,
            ..TrainingOptions::default()
        }
    }

    /// Sequences that are nothing but a response, all tokens of which are trained.
    fn request(self, vocab_size: usize) -> UpdateRequest {
        let sequence = |index: usize| {
            let mut tokens = tokens(index, self.n_tokens, vocab_size);
            // A prompt needs a token.
            let response = tokens.split_off(1);
            TrainSequence {
                behaviour_logprobs: vec![BEHAVIOUR_LOGPROB; response.len()],
                ..sequence_of(tokens, response, index)
            }
        };
        request_of((0..self.n_sequences).map(sequence).collect())
    }
}

/// A sequence every second of which is to become less likely.
fn sequence_of(prompt: Vec<u32>, response: Vec<u32>, index: usize) -> TrainSequence {
    let n = response.len();
    TrainSequence {
        prompt,
        response,
        advantages: vec![if index.is_multiple_of(2) { 1.0 } else { -1.0 }; n],
        weights: vec![1.0 / n.max(1) as f32; n],
        ..TrainSequence::default()
    }
}

fn request_of(sequences: Vec<TrainSequence>) -> UpdateRequest {
    UpdateRequest {
        sequences,
        loss: LossSpec::default(),
        optimizer: azr_bench::adamw(),
        bounds: UpdateBounds::default(),
    }
}

fn check(report: &UpdateReport) -> Result<()> {
    ensure!(report.applied, "the update was not applied: {report:?}");
    Ok(())
}

/// Floating-point operations of a forward pass and a backward pass of twice as many, attention included and nothing
/// counted that is computed again.
fn update_flops(config: &ModelConfig, n_rows: f64, n_trained: f64, n_seen: usize) -> f64 {
    let shape = Shape(config);
    3.0 * (2.0 * (n_rows * shape.body() + n_trained * shape.head()) + shape.attention(n_seen))
}

/// Six for each parameter that multiplies and each token: embeddings that are no head count for nothing.
fn model_flops(config: &ModelConfig, n_tokens: f64) -> f64 {
    6.0 * (Shape(config).body() + Shape(config).head()) * n_tokens
}

/// Measures updates.
pub(crate) fn train<D: Gpu>(
    report: &mut Report,
    limits: Limits,
    name: &str,
    model: &mut Model<D>,
    update: Update,
) -> Result<()> {
    let config = model.config().clone();
    let device = model.device().clone();
    let (n_sequences, n_tokens) = (update.n_sequences, update.n_tokens);
    let total = (n_sequences * n_tokens) as f64;
    let n_seen = n_sequences * n_tokens * (n_tokens - 1) / 2;
    let flops = update_flops(&config, total, total, n_seen);
    let line = Line::ours("train", name, format!("{n_sequences} x {n_tokens} tokens"))
        .floor(Work { flops, bytes: 0.0 }, limits);
    report.measure(line, |line| {
        model.set_training_options(update.options())?;
        let request = update.request(config.vocab_size);
        let mut times = Vec::new();
        for _ in 0..=update.n_repeats {
            // An update returns when the gradient norm is known; the optimizer's step behind it may still run.
            let start = Instant::now();
            check(&model.update(&request, update.micro_batch_rows, &Quiet)?)?;
            wait(model)?;
            times.push(start.elapsed().as_secs_f64());
        }
        let seconds = median(times.split_off(1));
        Ok(Line {
            seconds: Some(seconds),
            rate: Some(total / seconds),
            model_flops_per_s: Some(model_flops(&config, total) / seconds),
            peak_bytes: device.peak_bytes(),
            text: Some(format!(
                "micro-batches of {} rows, {:?} state{}",
                update.micro_batch_rows,
                update.optimizer_state,
                if update.gradient_checkpointing { ", checkpointing" } else { "" }
            )),
            ..line
        })
    })
}

/// Waits for everything that was launched.
fn wait<D: Gpu>(model: &Model<D>) -> Result<()> {
    let fence = model.device().zeros(1)?;
    Ok(model.device().read(&fence, 0, &mut [0.0])?)
}

/// Steps of self-play: completions of a group for each prompt, and an update on them.
pub(crate) fn selfplay<D: Gpu>(
    report: &mut Report,
    limits: Limits,
    name: &str,
    model: &mut Model<D>,
    batch: Batch,
    update: Update,
    n_steps: usize,
) -> Result<()> {
    let config = model.config().clone();
    let device = model.device().clone();
    model.set_training_options(update.options())?;
    let plan = MemoryPlan::new(
        &config,
        &update.options(),
        &PolicyLimits {
            generate: roomy(batch.n_samples),
            micro_batch_rows: update.micro_batch_rows,
        },
        &Workload {
            prompt_tokens: batch.n_prompt,
            response_tokens: batch.n_new,
            n_samples: batch.n_samples,
            n_sequences: batch.n_samples,
            optimizer: OptimizerKind::Adamw,
            has_reference: false,
            activations: device.activation_precision(),
            is_bf16: false,
        },
    );
    let n_new = (batch.n_samples * batch.n_new) as f64;
    let n_prompt = (batch.n_samples.div_ceil(batch.n_sharing) * batch.n_prompt) as f64;
    for step in 1..=n_steps {
        let mut requests = requests(batch, config.vocab_size);
        for request in &mut requests {
            request.seeds.iter_mut().for_each(|seed| *seed += (step * batch.n_samples) as u64);
        }
        let mut completions = Vec::new();
        let line = Line::ours("selfplay", name, format!("step {step}, generate"));
        report.measure(line, |line| {
            let start = Instant::now();
            let (limits, vocabulary) = (roomy(batch.n_samples), Vocabulary::default());
            completions = model.generate(&requests, &vocabulary, &limits, &Quiet, &Quiet)?;
            let seconds = start.elapsed().as_secs_f64();
            Ok(Line {
                seconds: Some(seconds),
                rate: Some(n_new / seconds),
                peak_bytes: device.peak_bytes(),
                text: Some(format!(
                    "{} samples of {} tokens, {} a prompt of {}",
                    batch.n_samples, batch.n_new, batch.n_sharing, batch.n_prompt
                )),
                ..line
            })
        })?;
        // The prompt is computed once for its group; attention is left out of this floor, as it is a few per cent.
        let flops = update_flops(&config, n_new + n_prompt, n_new, 0);
        let line = Line::ours("selfplay", name, format!("step {step}, update"))
            .floor(Work { flops, bytes: 0.0 }, limits);
        report.measure(line, |line| {
            ensure!(!completions.is_empty(), "there is nothing to learn from");
            let groups = requests.iter().zip(&completions);
            let sequences = groups
                .flat_map(|(request, group)| group.iter().map(|one| (&request.prompt, one)))
                .enumerate()
                .map(|(index, (prompt, one))| sampled(prompt, one, index))
                .collect();
            let request = request_of(sequences);
            let start = Instant::now();
            let learned = model.update(&request, update.micro_batch_rows, &Quiet)?;
            wait(model)?;
            let seconds = start.elapsed().as_secs_f64();
            check(&learned)?;
            Ok(Line {
                seconds: Some(seconds),
                rate: Some((n_new + n_prompt) / seconds),
                model_flops_per_s: Some(flops / seconds),
                peak_bytes: device.peak_bytes(),
                text: Some(format!(
                    "planned {:.1} GB; gradient norm {:.3}, log-probs differ by {:.4} on average, {:.3} at most",
                    plan.peak() as f64 / 1e9,
                    learned.grad_norm,
                    learned.logprob_gap_mean,
                    learned.logprob_gap_max
                )),
                ..line
            })
        })?;
    }
    Ok(())
}

fn sampled(prompt: &[u32], one: &Completion, index: usize) -> TrainSequence {
    TrainSequence {
        behaviour_logprobs: one.logprobs.clone(),
        ..sequence_of(prompt.to_vec(), one.tokens.clone(), index)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use azr_transformer::reference::Reference;

    use super::*;
    use crate::{models, random};

    const UPDATE: Update = Update {
        n_sequences: 3,
        n_tokens: 9,
        micro_batch_rows: 20,
        n_repeats: 2,
        gradient_checkpointing: true,
        optimizer_state: StatePrecision::Bf16,
    };
    const LIMITS: Limits = Limits { copy_bytes_per_s: 1e9, gemm_flops_per_s: 1e12 };

    #[test]
    fn updates_are_applied_and_counted() {
        let mut model = random::model(&Arc::new(Reference), &models::tiny()).unwrap();
        let mut report = Report::new(None, None).unwrap();
        train(&mut report, LIMITS, "tiny", &mut model, UPDATE).unwrap();
        assert!(!report.has_problems(), "{:#?}", report.lines());
        assert_eq!(model.n_steps(), 3);
        assert!(report.lines()[0].model_flops_per_s > Some(0.0));
    }

    #[test]
    fn self_play_learns_from_what_it_generated() {
        let mut model = random::model(&Arc::new(Reference), &models::tiny()).unwrap();
        let mut report = Report::new(None, None).unwrap();
        let batch = Batch { n_samples: 4, n_sharing: 2, n_prompt: 5, n_new: 3 };
        selfplay(&mut report, LIMITS, "tiny", &mut model, batch, UPDATE, 2).unwrap();
        assert!(!report.has_problems(), "{:#?}", report.lines());
        assert_eq!((report.lines().len(), model.n_steps()), (4, 2));
        let text = report.lines()[3].text.as_deref().unwrap();
        assert!(text.contains("log-probs differ by 0.0000 on average"), "{text}");
    }

    #[test]
    fn six_operations_a_parameter_and_token() {
        let config = models::model("qwen2.5-7b").unwrap();
        let n_embedding = (config.vocab_size * config.hidden_size) as f64;
        let all = 6.0 * (config.n_parameters() as f64 - n_embedding);
        assert!((model_flops(&config, 1.0) / all - 1.0).abs() < 1e-4);
        assert_eq!(update_flops(&config, 1.0, 1.0, 0), model_flops(&config, 1.0));
    }
}
