//! Model backends: a backend opens a model as a policy; a policy generates, scores and learns.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CallContext, CompletionSink, Result};

/// Which model to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// A GGUF file or a Hugging Face directory.
    pub path: PathBuf,
    /// Bytes of each token id, from [`Tokenizer::vocabulary`](crate::Tokenizer::vocabulary).
    pub vocabulary: Vec<Vec<u8>>,
    /// Ids that end a generation.
    pub eos: Vec<u32>,
    /// Whether the policy will learn. One that will not needs nothing that only learning needs, adapters among it.
    pub learns: bool,
}

/// Facts about an open model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Model family, for example `llama` or `qwen2`.
    pub family: String,
    /// Device in words, for example `cpu (avx2, 2 threads)`. Where the policy computes on the processor it begins with
    /// `cpu`: a caller then knows that nothing is to spare for other work meanwhile.
    pub device: String,
    /// Number of trained parameters; tied matrices count once.
    pub n_parameters: u64,
    /// Number of token ids the model scores.
    pub vocab_size: u32,
    /// Longest sequence (prompt and response) in tokens.
    pub context_length: u32,
}

/// How to sample one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Softmax temperature; 0 is greedy.
    pub temperature: f32,
    /// Nucleus mass in (0, 1]; 1 samples from the full distribution.
    pub top_p: f32,
    /// Longest response in tokens, end-of-text token included.
    pub max_new_tokens: u32,
    /// The response ends as soon as its text contains one of these.
    pub stop: Vec<String>,
}

/// One prompt and the samples wanted from it; samples share the prompt's computation.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Prompt token ids; not empty.
    pub prompt: Vec<u32>,
    /// One sample per seed. A sample is a function of (weights, prompt, sampling, its seed) alone.
    pub seeds: Vec<u64>,
    /// How to sample.
    pub sampling: Sampling,
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model sampled an end-of-text token (it is the last token of the response).
    Eos,
    /// A stop string appeared (its tokens are part of the response, not of the text).
    Stop,
    /// `max_new_tokens` was reached.
    Length,
    /// The model's context was full.
    Context,
}

/// One sampled response.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Sampled ids, the end-of-text or stop tokens included.
    pub tokens: Vec<u32>,
    /// Natural log-probability of each sampled id under the full softmax at the sampling temperature
    /// (at temperature 1 for greedy sampling). Same length as `tokens`.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
    /// The response as text without end-of-text token and stop string; invalid UTF-8 becomes U+FFFD.
    pub text: String,
}

/// A sequence whose response is to be scored.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreRequest {
    /// Prompt token ids; not empty.
    pub prompt: Vec<u32>,
    /// Response token ids.
    pub response: Vec<u32>,
    /// Softmax temperature, more than 0.
    pub temperature: f32,
}

/// One trained sequence. Its response vectors have the same length, but for those that may be empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainSequence {
    /// Prompt token ids; not empty. Equal prompts of one update may be computed once.
    pub prompt: Vec<u32>,
    /// Response token ids.
    pub response: Vec<u32>,
    /// Log-probability of each response token when it was sampled; may be empty under [`Ratio::None`].
    pub behaviour_logprobs: Vec<f32>,
    /// Log-probability of each response token under the reference model, at the temperature of the loss; may be empty
    /// without a [`LossSpec::kl_coef`].
    pub reference_logprobs: Vec<f32>,
    /// Advantage of each response token.
    pub advantages: Vec<f32>,
    /// Weight of each response token in the loss. The loss is the weighted *sum* over all tokens of the
    /// update, so the result does not depend on how a backend splits it into micro-batches.
    pub weights: Vec<f32>,
}

/// What a token's advantage is multiplied by in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ratio {
    /// The token's own probability ratio, clipped (PPO, arXiv 1707.06347).
    #[default]
    Token,
    /// The log-probability itself, never clipped: `-A logprob`, whose derivative is `-A`. On samples of the current
    /// weights it is REINFORCE; with advantage 1 on given text it is next-token cross-entropy.
    None,
    /// The geometric mean of the response's token ratios, clipped (GSPO, arXiv 2507.18071).
    Sequence,
}

/// The per-token policy loss
/// `-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A)` with `r = exp(logprob - behaviour_logprob)`,
/// bounded below by `-dual_clip * A` where `A < 0`, minus `entropy_coef` times the token's entropy (PPO, arXiv 1707.06347;
/// dual clip, arXiv 1912.09729), plus `kl_coef` times `exp(d) - d - 1` with `d = reference_logprob - logprob`, the k3
/// estimate of the divergence from the reference model (<http://joschu.net/blog/kl-approx.html>; GRPO, arXiv 2402.03300,
/// equation 4). [`Ratio`] says what stands for `r`.
#[derive(Debug, Clone, PartialEq)]
pub struct LossSpec {
    /// What an advantage is multiplied by.
    pub ratio: Ratio,
    /// Lower clip distance, for example 0.2.
    pub clip_low: f32,
    /// Upper clip distance, for example 0.2.
    pub clip_high: f32,
    /// Dual-clip constant (more than 1), if used.
    pub dual_clip: Option<f32>,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
    /// Weight of the divergence from the reference model; 0 asks for no reference.
    pub kl_coef: f32,
    /// Temperature at which log-probs are taken; the one used for sampling.
    pub temperature: f32,
}

impl Default for LossSpec {
    /// The clipped loss of PPO with distance 0.2 and nothing else, at temperature 1.
    fn default() -> Self {
        Self {
            ratio: Ratio::Token,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
            entropy_coef: 0.0,
            kl_coef: 0.0,
            temperature: 1.0,
        }
    }
}

/// How gradients become steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerKind {
    /// AdamW (arXiv 1711.05101).
    #[default]
    Adamw,
    /// Muon (<https://kellerjordan.github.io/posts/muon/>) for hidden matrices, its steps scaled to the size of AdamW's
    /// (arXiv 2502.16982); AdamW for embedding, head, gains and biases.
    Muon,
}

impl OptimizerKind {
    /// The name in options and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adamw => "adamw",
            Self::Muon => "muon",
        }
    }
}

/// One optimizer step with clipping of the global gradient norm.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerSpec {
    /// How gradients become steps. A backend that meets another kind than before starts with fresh state.
    pub kind: OptimizerKind,
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment, and of Muon's momentum.
    pub beta1: f32,
    /// Second-moment decay.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Gradients are scaled down to this global L2 norm; 0 turns clipping off.
    pub max_grad_norm: f32,
}

/// A whole update: every sequence, one loss, one optimizer step.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRequest {
    /// The sequences; gradients are accumulated over all of them.
    pub sequences: Vec<TrainSequence>,
    /// The loss of each token.
    pub loss: LossSpec,
    /// The optimizer step that follows.
    pub optimizer: OptimizerSpec,
    /// What the update must look like to be applied.
    pub bounds: UpdateBounds,
}

/// What an update must look like to be applied. The default applies everything that is finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateBounds {
    /// Least loss.
    pub loss_min: f64,
    /// Largest loss.
    pub loss_max: f64,
    /// Largest global gradient norm before clipping.
    pub grad_norm_max: f64,
}

impl UpdateBounds {
    /// Whether an update with this loss and gradient norm is applied.
    pub fn admits(&self, loss: f64, grad_norm: f64) -> bool {
        loss.is_finite()
            && grad_norm.is_finite()
            && (self.loss_min..=self.loss_max).contains(&loss)
            && grad_norm <= self.grad_norm_max
    }
}

impl Default for UpdateBounds {
    fn default() -> Self {
        Self { loss_min: f64::NEG_INFINITY, loss_max: f64::INFINITY, grad_norm_max: f64::INFINITY }
    }
}

/// What an update did. Means are weighted by the token weights unless said otherwise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpdateReport {
    /// Total loss (policy loss and divergence from the reference, minus entropy bonus).
    pub loss: f64,
    /// Mean token entropy in nats (plain mean over trained tokens).
    pub entropy: f64,
    /// Mean estimated divergence from the reference model in nats (plain mean over trained tokens); 0 without one.
    pub kl: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Fraction of trained tokens whose ratio was clipped.
    pub clip_fraction: f64,
    /// Mean absolute difference between training and behaviour log-probs, in nats.
    pub logprob_gap_mean: f64,
    /// Largest such difference.
    pub logprob_gap_max: f64,
    /// Tokens that carried a loss.
    pub n_tokens: u64,
    /// False when the step was skipped because loss or gradient were not finite or outside the request's bounds; weights
    /// and moments are unchanged.
    pub applied: bool,
}

/// Opens models on one kind of device.
pub trait Backend: Send + Sync {
    /// Opens a model with fresh optimizer state.
    fn open(&self, model: &ModelSpec) -> Result<Box<dyn Policy>>;
}

/// An open model that generates, scores and learns.
pub trait Policy: Send {
    /// Facts about the model.
    fn info(&self) -> PolicyInfo;

    /// Completions of each request, in request order, one per seed. Progress counts tokens. `sink` is told of
    /// completions as they are finished.
    fn generate(
        &mut self,
        requests: &[GenerateRequest],
        sink: &dyn CompletionSink,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Completion>>>;

    /// Log-probability of each response token, in nats.
    fn score(
        &mut self,
        requests: &[ScoreRequest],
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<f32>>>;

    /// Accumulates gradients over all sequences and takes one optimizer step. Progress counts tokens.
    fn update(
        &mut self,
        request: &UpdateRequest,
        context: &dyn CallContext,
    ) -> Result<UpdateReport>;

    /// Writes the model as a Hugging Face directory (`config.json`, `model.safetensors`) and, when
    /// `with_optimizer`, the optimizer state beside it, exact to the bit.
    fn save(&self, directory: &Path, with_optimizer: bool) -> Result<()>;

    /// Replaces weights and optimizer state by those of a directory written by [`Policy::save`].
    fn load(&mut self, directory: &Path) -> Result<()>;
}
