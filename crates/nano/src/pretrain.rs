//! From nothing to a model: documents, a tokenizer, random weights, next-token training with our own trainer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use azr_executor::{ImportPolicy, Program};
use azr_plugin::{
    ControlTokens, LossSpec, OptimizerKind, OptimizerSpec, Policy, Quiet, Ratio, Tokenizer,
    TrainSequence, UpdateBounds, UpdateRequest,
};
use azr_weights::{Family, ModelConfig, ModelFile, write_hf_directory};
use half::f16;
use indicatif::{ProgressBar, ProgressStyle};
use safetensors::tensor::{Dtype, TensorView};

use crate::corpus::{Document, documents, training_plan};
use crate::draw::Draws;
use crate::engines::Engines;
use crate::heldout::programs;
use crate::solved::Plan;

/// Everything that makes the model what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Seed of documents and first weights.
    pub seed: u64,
    /// Functions that are made; about four of five can be shown.
    pub n_plans: u64,
    /// Documents of one update.
    pub batch: usize,
    /// Peak of the learning rate.
    pub learning_rate: f64,
    /// Most tokens of the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of transformer blocks.
    pub n_layers: usize,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 1,
            n_plans: 50_000,
            batch: 10,
            learning_rate: 2e-3,
            vocab_size: 640,
            hidden_size: 192,
            n_layers: 4,
        }
    }
}

/// Documents whose words the tokenizer learns.
const N_TOKENIZER_PLANS: u64 = 6_000;
/// Functions that are made and run together.
const CHUNK: u64 = 2_048;
/// Updates over which the learning rate rises.
const WARMUP: f64 = 200.0;
/// The learning rate at the end, as a part of its peak.
const LAST_RATE: f64 = 0.05;
/// Makes the draws of weights differ from those of documents.
const WEIGHTS: u64 = 0x5745_4947_4854;
/// Of the embedding, which is the output matrix as well: small, so that the first predictions are near uniform.
const EMBEDDING_DEVIATION: f64 = 0.05;
/// Width of one attention head.
const HEAD_DIM: usize = 32;
/// Longest sequence in tokens.
const CONTEXT: usize = 1_024;
/// Updates between two points of the loss curve.
const POINT: u64 = 50;

/// Makes the model in `folder` (replacing one that is there); no program of the file `heldout` is shown to it.
pub fn pretrain(recipe: &Recipe, heldout: &Path, folder: &Path) -> Result<()> {
    let engines = Engines::new()?;
    let (domain, executor) = engines.domain("monty")?;
    let held_out = programs(heldout)?;
    let make = |from: u64, n: u64| -> Result<Vec<Document>> {
        let plans = training_plans(recipe.seed, from..from + n, &held_out);
        documents(plans, &*domain, &*executor)
    };
    fs::create_dir_all(folder)?;
    let texts: Vec<String> = make(0, N_TOKENIZER_PLANS)?
        .into_iter()
        .map(|document| document.parts.iter().map(|(text, _)| text.as_str()).collect())
        .collect();
    crate::tokenizer::train(&texts, recipe.vocab_size, folder)?;
    let tokenizer = engines.tokenizer(folder)?;
    let config = config(recipe, tokenizer.info().vocab_size as usize);
    write_first_weights(&config, recipe.seed, folder)?;
    let mut policy = engines.policy(folder, &*tokenizer)?;

    let mut curve = fs::File::create(folder.join("loss.csv"))?;
    writeln!(curve, "update,tokens,loss,grad_norm,learning_rate")?;
    let bar = ProgressBar::new(recipe.n_plans);
    bar.set_style(ProgressStyle::with_template("{pos}/{len} {elapsed} ETA {eta} {msg}")?);
    let (mut update, mut n_tokens, mut mean) = (0_u64, 0_u64, Mean::default());
    let n_updates = recipe.n_plans as f64 * 0.95 / recipe.batch as f64;
    let mut pending: Vec<TrainSequence> = Vec::new();
    for from in (0..recipe.n_plans).step_by(CHUNK as usize) {
        let n = CHUNK.min(recipe.n_plans - from);
        for document in make(from, n)? {
            pending.push(sequence(&*tokenizer, document)?);
        }
        while pending.len() >= recipe.batch {
            let sequences: Vec<TrainSequence> = pending.drain(..recipe.batch).collect();
            let rate = learning_rate(recipe, update as f64, n_updates);
            let report = step(&mut *policy, sequences, rate)?;
            (update, n_tokens) = (update + 1, n_tokens + report.n_tokens);
            mean.add(report.loss);
            if update.is_multiple_of(POINT) {
                let loss = mean.take();
                let norm = report.grad_norm;
                writeln!(curve, "{update},{n_tokens},{loss:.4},{norm:.3},{rate:.6}")?;
                bar.set_message(format!("update {update}, {n_tokens} tokens, loss {loss:.4}"));
            }
        }
        bar.set_position(from + n);
    }
    bar.finish();
    let trained = folder.join("trained");
    policy.save(&trained, false)?;
    write_half(&trained, &folder.join("model.safetensors"))?;
    Ok(fs::remove_dir_all(trained)?)
}

/// Texts of the first documents of `seed`, made of at most `n` functions.
pub fn show(seed: u64, n: u64) -> Result<Vec<String>> {
    let (domain, executor) = Engines::new()?.domain("monty")?;
    let plans = training_plans(seed, 0..n, &BTreeSet::new());
    let documents = documents(plans, &*domain, &*executor)?;
    let text = |document: Document| -> String {
        let texts: Vec<&str> = document.parts.iter().map(|(text, _)| text.as_str()).collect();
        texts.join("⏎")
    };
    Ok(documents.into_iter().map(text).collect())
}

/// The programs that the default recipe shows, in the canonical text that ignores their layout.
pub fn training_programs(heldout: &Path) -> Result<BTreeSet<String>> {
    let recipe = Recipe::default();
    let plans = training_plans(recipe.seed, 0..recipe.n_plans, &programs(heldout)?);
    let canonical = |plan: &Plan| {
        let program = Program::parse(&plan.sketch.source(), &ImportPolicy::default())?;
        Ok(program.canonical)
    };
    plans.iter().map(canonical).collect()
}

/// The plans of documents `range` but for programs that are held out.
pub(crate) fn training_plans(
    seed: u64,
    range: std::ops::Range<u64>,
    held_out: &BTreeSet<String>,
) -> Vec<Plan> {
    let plans = range.map(|index| training_plan(seed, index));
    plans.filter(|plan| !held_out.contains(&plan.sketch.source())).collect()
}

fn config(recipe: &Recipe, vocab_size: usize) -> ModelConfig {
    let hidden = recipe.hidden_size;
    ModelConfig {
        family: Family::Llama,
        hidden_size: hidden,
        intermediate_size: hidden * 8 / 3,
        n_layers: recipe.n_layers,
        n_heads: hidden / HEAD_DIM,
        n_kv_heads: (hidden / HEAD_DIM / 3).max(1),
        head_dim: HEAD_DIM,
        vocab_size,
        context_length: CONTEXT,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-5,
        tie_word_embeddings: true,
        qkv_bias: false,
    }
}

/// Matrices from a normal distribution whose variance is one over their inputs, so that even a narrow model has attention
/// scores of order one from the start and copying is learned early; those that write into the residual stream are smaller
/// by the root of twice the layers (GPT-2). Gains of 1.
fn write_first_weights(config: &ModelConfig, seed: u64, folder: &Path) -> Result<()> {
    let depth = (2.0 * config.n_layers as f64).sqrt();
    let mut tensors = (0_u64..).zip(config.tensors()).map(|(number, spec)| {
        let n: usize = spec.shape.iter().product();
        let mut draws = Draws::of(seed ^ WEIGHTS, number);
        let n_inputs = spec.shape.last().copied().unwrap_or(1) as f64;
        let deviation = match spec.name.as_str() {
            name if name.contains("embed") => EMBEDDING_DEVIATION,
            name if name.contains("o_proj") || name.contains("down_proj") => {
                1.0 / n_inputs.sqrt() / depth
            }
            _ => 1.0 / n_inputs.sqrt(),
        };
        let values = match spec.shape.len() {
            1 => vec![1.0; n],
            _ => (0..n).map(|_| (draws.normal() * deviation) as f32).collect(),
        };
        anyhow::Ok((spec.name, spec.shape, values))
    });
    Ok(write_hf_directory(folder, config, &mut tensors)?)
}

/// A document as one sequence in which every token but the first is learned, with the weight of its part.
fn sequence(tokenizer: &dyn Tokenizer, document: Document) -> Result<TrainSequence> {
    let (mut ids, mut weights) = (Vec::new(), Vec::new());
    for (text, weight) in document.parts {
        let part = tokenizer.encode(&[text], ControlTokens::AsText)?.concat();
        weights.extend(part.iter().map(|_| weight));
        ids.extend(part);
    }
    ids.extend(tokenizer.info().eos.first());
    weights.push(weights.last().copied().unwrap_or_default());
    weights.truncate(ids.len());
    let (response, weights) = (ids.split_off(1), weights.split_off(1));
    let n = response.len();
    let advantages = vec![1.0; n];
    Ok(TrainSequence { prompt: ids, response, advantages, weights, ..TrainSequence::default() })
}

/// One update on the weighted mean cross-entropy per token.
fn step(
    policy: &mut dyn Policy,
    mut sequences: Vec<TrainSequence>,
    learning_rate: f64,
) -> Result<azr_plugin::UpdateReport> {
    let total: f32 = sequences.iter().flat_map(|sequence| &sequence.weights).sum();
    for weight in sequences.iter_mut().flat_map(|sequence| &mut sequence.weights) {
        *weight /= total;
    }
    let loss = LossSpec { ratio: Ratio::None, ..LossSpec::default() };
    let optimizer = OptimizerSpec {
        kind: OptimizerKind::Adamw,
        learning_rate: learning_rate as f32,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        max_grad_norm: 1.0,
    };
    policy
        .update(
            &UpdateRequest { sequences, loss, optimizer, bounds: UpdateBounds::default() },
            &Quiet,
        )
        .context("training")
}

/// Linear warm-up, then a cosine down to [`LAST_RATE`].
fn learning_rate(recipe: &Recipe, update: f64, n_updates: f64) -> f64 {
    if update < WARMUP {
        return recipe.learning_rate * (update + 1.0) / WARMUP;
    }
    let part = ((update - WARMUP) / (n_updates - WARMUP).max(1.0)).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
    recipe.learning_rate * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
}

/// Writes the float32 weights of the model in `from` in half precision.
fn write_half(from: &Path, file: &Path) -> Result<()> {
    let model = ModelFile::open(from)?;
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for spec in model.config().tensors() {
        let values = model.read_f32(&spec.name)?;
        let bytes = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        tensors.insert(spec.name, (spec.shape, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F16, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    Ok(safetensors::serialize_to_file(views, metadata, file)?)
}

/// A mean of losses since it was last taken.
#[derive(Default)]
struct Mean {
    sum: f64,
    n: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn take(&mut self) -> f64 {
        let mean = self.sum / self.n.max(1) as f64;
        *self = Self::default();
        mean
    }
}
