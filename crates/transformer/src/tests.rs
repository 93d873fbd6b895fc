//! Tests of the whole model on the float64 reference device.

mod generation;
mod gradients;
mod lora;
mod optimizer;
mod rollout;
mod training;

use std::sync::Arc;

use azr_plugin::{
    LossSpec, OptimizerKind, OptimizerSpec, Quiet, ScoreRequest, TrainSequence, UpdateBounds,
    UpdateRequest,
};
use azr_weights::{Family, ModelConfig};

use crate::reference::Reference;
use crate::{Model, Vocabulary};

/// Sizes that differ from each other wherever they may.
pub(crate) fn tiny_config(family: Family, tied: bool) -> ModelConfig {
    ModelConfig {
        family,
        hidden_size: 12,
        intermediate_size: 10,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 4,
        vocab_size: 17,
        context_length: 40,
        rope_theta: 100.0,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: tied,
        qkv_bias: family == Family::Qwen2,
    }
}

/// A random model whose gains are not all 1.
pub(crate) fn tiny_model(family: Family, tied: bool) -> Model<Reference> {
    let mut model = Model::random(Arc::new(Reference), tiny_config(family, tied), 7).unwrap();
    let names: Vec<String> = model.parameters().iter().map(|spec| spec.name.clone()).collect();
    for name in names.iter().filter(|name| name.contains("norm")) {
        let gains: Vec<f32> = (0..12).map(|i| 0.7 + 0.05 * i as f32).collect();
        model.write(name, &gains).unwrap();
    }
    model
}

fn loss_spec() -> LossSpec {
    LossSpec { clip_high: 0.28, ..LossSpec::default() }
}

fn optimizer_spec() -> OptimizerSpec {
    OptimizerSpec {
        kind: OptimizerKind::Adamw,
        learning_rate: 1e-2,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        max_grad_norm: 0.0,
    }
}

/// Three answers to one prompt, one to another, one to a prompt of a single token.
/// Behaviour log-probs are the current ones moved by `gaps`, in turn.
fn update_request(model: &Model<Reference>, loss: LossSpec, gaps: &[f32]) -> UpdateRequest {
    let texts: [(&[u32], &[u32]); 5] = [
        (&[1, 5, 9, 2, 2], &[3, 4, 16]),
        (&[7, 8], &[0, 1, 2, 3]),
        (&[1, 5, 9, 2, 2], &[6]),
        (&[11], &[12, 13]),
        (&[1, 5, 9, 2, 2], &[3, 4, 4, 10]),
    ];
    let scores: Vec<ScoreRequest> = texts
        .iter()
        .map(|(prompt, response)| ScoreRequest {
            prompt: prompt.to_vec(),
            response: response.to_vec(),
            temperature: loss.temperature,
        })
        .collect();
    let logprobs = model.score(&scores, 100, &Quiet).unwrap();
    let mut count = 0_usize;
    let sequences = scores
        .into_iter()
        .zip(logprobs)
        .map(|(score, logprobs)| {
            let n = logprobs.len();
            let first = count;
            count += n;
            let cycle = |values: &[f32]| {
                (first..count).map(|i| values[i % values.len()]).collect::<Vec<_>>()
            };
            TrainSequence {
                prompt: score.prompt,
                response: score.response,
                behaviour_logprobs: logprobs
                    .iter()
                    .zip(cycle(gaps))
                    .map(|(l, gap)| l + gap)
                    .collect(),
                reference_logprobs: logprobs
                    .iter()
                    .zip(cycle(&[0.0, 0.4, -0.7]))
                    .map(|(l, gap)| l + gap)
                    .collect(),
                advantages: cycle(&[1.0, -0.7, 0.4, -1.3, 0.0]),
                weights: cycle(&[0.5, 0.25, 1.0]),
            }
        })
        .collect();
    UpdateRequest { sequences, loss, optimizer: optimizer_spec(), bounds: UpdateBounds::default() }
}

/// Ids as the letters from `a`; 16 has no bytes and ends a response.
pub(crate) fn vocabulary() -> Vocabulary {
    let bytes = (0..16_u8).map(|id| vec![b'a' + id]).chain([Vec::new()]).collect();
    Vocabulary { bytes, eos: vec![16] }
}
