//! From nothing to a model: documents, a tokenizer, random weights, next-token training with our own trainer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use azr_plugin::{
    ControlTokens, LossSpec, OptimizerKind, OptimizerSpec, Policy, Quiet, Ratio, Tokenizer,
    TrainSequence, UpdateBounds, UpdateReport, UpdateRequest,
};
use azr_run::{Curve, Panel, svg};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::corpus::{Document, documents, training_plan};
use crate::engines::Engines;
use crate::heldout::heldout_programs;
use crate::program::shape;
use crate::progress::Progress;
use crate::solved::Plan;
use crate::tokenizer;
use crate::weights::{CONTEXT, config, write_first_weights, write_half};

/// Everything that makes the model what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Seed of documents and first weights.
    pub seed: u64,
    /// Functions that are made; nearly all of them can be shown.
    pub n_plans: u64,
    /// Functions that are made and run together; after each such part the state is saved.
    pub save_every: u64,
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
            n_plans: 170_000,
            save_every: 2_048,
            batch: 16,
            learning_rate: 4e-3,
            vocab_size: 640,
            hidden_size: 128,
            n_layers: 4,
        }
    }
}

/// Documents whose words the tokenizer learns.
const N_TOKENIZER_PLANS: u64 = 6_000;
/// Documents that stand for the generator in the digest of the corpus.
const N_DIGESTED_PLANS: u64 = 256;
/// Updates over which the learning rate rises.
const WARMUP: f64 = 200.0;
/// The learning rate at the end, as a part of its peak.
const LAST_RATE: f64 = 0.05;

/// Makes the model in `folder`, where the files of an earlier one stay until the new ones are complete; no program of
/// the file `heldout` is shown to it. What was interrupted goes on from where it was saved.
pub fn pretrain(recipe: &Recipe, heldout: &Path, folder: &Path) -> Result<()> {
    let engines = Engines::new()?;
    let (domain, executor) = engines.domain("monty")?;
    let held_out = heldout_programs(heldout)?;
    let make = |from: u64, n: u64| -> Result<Vec<Document>> {
        let plans = training_plans(recipe.seed, from..from + n, &held_out);
        documents(plans, &*domain, &*executor)
    };
    let work = folder.join(".pretraining");
    let corpus = digest(&make(0, N_DIGESTED_PLANS)?, &held_out);
    let mut progress = match Progress::open(&work, recipe, &corpus)? {
        Some(progress) => progress,
        None => {
            fs::create_dir_all(&work)?;
            let texts = make(0, N_TOKENIZER_PLANS)?.iter().map(Document::text).collect::<Vec<_>>();
            tokenizer::train(&texts, recipe.vocab_size, &work)?;
            let vocab_size = engines.tokenizer(&work)?.info().vocab_size as usize;
            write_first_weights(&config(recipe, vocab_size), recipe.seed, &work)?;
            Progress::new(recipe, &corpus)
        }
    };
    let tokenizer = engines.tokenizer(&work)?;
    let mut policy = engines.policy(&work, &*tokenizer)?;
    if let Some(saved) = progress.saved(&work) {
        policy.load(&saved)?;
    }

    let bar = ProgressBar::new(recipe.n_plans);
    bar.set_style(ProgressStyle::with_template("{pos}/{len} {elapsed} ETA {eta} {msg}")?);
    while progress.n_plans_done < recipe.n_plans {
        let from = progress.n_plans_done;
        let n = recipe.save_every.max(1).min(recipe.n_plans - from);
        let sequences = make(from, n)?.into_iter().map(|document| sequence(&*tokenizer, document));
        let mut sequences = sequences.collect::<Result<Vec<TrainSequence>>>()?;
        sequences.retain(|sequence| sequence.response.len() < CONTEXT);
        // As many batches as are full, each with its share of the rest.
        let n_batches = (sequences.len() / recipe.batch.max(1)).max(1);
        let batch_size = sequences.len().div_ceil(n_batches).max(1);
        let n_batches = sequences.len().div_ceil(batch_size).max(1);
        let (mut loss, mut grad_norm) = (0.0, 0.0);
        for (number, batch) in sequences.chunks(batch_size).enumerate() {
            let place = from as f64 + n as f64 * number as f64 / n_batches as f64;
            let rate = learning_rate(recipe, progress.n_updates, place / recipe.n_plans as f64);
            let report = step(&mut *policy, batch.to_vec(), rate)?;
            progress.n_updates += 1;
            progress.n_tokens += report.n_tokens;
            loss += report.loss / n_batches as f64;
            grad_norm += report.grad_norm / n_batches as f64;
            bar.set_position(place as u64);
            bar.set_message(format!("update {}, loss {:.4}", progress.n_updates, report.loss));
        }
        let Progress { n_updates, n_tokens, .. } = progress;
        progress.curve.push(format!("{n_updates},{n_tokens},{loss:.4},{grad_norm:.3}"));
        progress.n_plans_done += n;
        progress.save(&work, &*policy)?;
    }
    bar.finish();
    finish(&work, folder, &progress)
}

/// Puts the files of the model where they belong, the weights last.
fn finish(work: &Path, folder: &Path, progress: &Progress) -> Result<()> {
    let curve = ["update,tokens,loss,grad_norm".to_owned()];
    let curve: Vec<String> = curve.into_iter().chain(progress.curve.iter().cloned()).collect();
    fs::write(folder.join("loss.csv"), curve.join("\n") + "\n")?;
    fs::write(folder.join("loss.svg"), plot(&progress.curve))?;
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(work.join(name), folder.join(name)).with_context(|| format!("copying {name}"))?;
    }
    let trained =
        progress.saved(work).context("nothing was trained: the recipe has no functions")?;
    write_half(&trained, &folder.join("model.safetensors"))?;
    Ok(fs::remove_dir_all(work)?)
}

/// The loss over the tokens that were seen.
fn plot(curve: &[String]) -> String {
    let point = |line: &String| {
        let mut fields = line.split(',').skip(1).map(str::parse::<f64>);
        Some((fields.next()?.ok()? / 1e6, fields.next()?.ok()?))
    };
    let points = curve.iter().filter_map(point).collect();
    svg(&[Panel {
        title: "pre-training".to_owned(),
        x_label: "million tokens".to_owned(),
        y_label: "weighted cross-entropy per token".to_owned(),
        curves: vec![Curve { name: "loss".to_owned(), points }],
    }])
}

/// Texts of the first documents of `seed`, made of at most `n` functions.
pub fn show(seed: u64, n: u64) -> Result<Vec<String>> {
    let (domain, executor) = Engines::new()?.domain("monty")?;
    let plans = training_plans(seed, 0..n, &BTreeSet::new());
    let documents = documents(plans, &*domain, &*executor)?;
    let parts = |document: &Document| -> String {
        document.parts.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join("⏎")
    };
    Ok(documents.iter().map(parts).collect())
}

/// The programs that the default recipe shows, whatever their variables are called.
pub fn training_programs(heldout: &Path) -> Result<BTreeSet<String>> {
    let recipe = Recipe::default();
    let plans = training_plans(recipe.seed, 0..recipe.n_plans, &heldout_programs(heldout)?);
    Ok(plans.iter().map(|plan| shape(&plan.sketch.source())).collect())
}

/// Tells corpora apart, so that a model that was begun on one does not go on with another.
fn digest(documents: &[Document], held_out: &BTreeSet<String>) -> String {
    let mut sha = Sha256::new();
    let texts = documents.iter().map(Document::text);
    for text in texts.chain(held_out.iter().cloned()) {
        sha.update((text.len() as u64).to_le_bytes());
        sha.update(text);
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The plans of documents `range` but for programs that are held out.
pub(crate) fn training_plans(
    seed: u64,
    range: std::ops::Range<u64>,
    held_out: &BTreeSet<String>,
) -> Vec<Plan> {
    let plans = range.map(|index| training_plan(seed, index));
    plans.filter(|plan| !held_out.contains(&shape(&plan.sketch.source()))).collect()
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
) -> Result<UpdateReport> {
    let total: f32 = sequences.iter().flat_map(|sequence| &sequence.weights).sum();
    for weight in sequences.iter_mut().flat_map(|sequence| &mut sequence.weights) {
        *weight /= total;
    }
    let loss = LossSpec { ratio: Ratio::None, ..LossSpec::default() };
    let optimizer = OptimizerSpec {
        kind: OptimizerKind::Muon,
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

/// Linear warm-up over the first updates, then a cosine down to [`LAST_RATE`] at the end, where `part` is 1.
fn learning_rate(recipe: &Recipe, n_updates: u64, part: f64) -> f64 {
    let warmup = ((n_updates + 1) as f64 / WARMUP).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
    recipe.learning_rate * warmup * (LAST_RATE + (1.0 - LAST_RATE) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_the_weight_of_its_part() {
        let folder = tempfile::tempdir().unwrap();
        let texts = ["def f(n):\n    return n + 1\n".to_owned(), "# f(7) == 8".to_owned()];
        tokenizer::train(&texts, 300, folder.path()).unwrap();
        let tokenizer = Engines::new().unwrap().tokenizer(folder.path()).unwrap();
        let parts = vec![("def f(n):\n".to_owned(), 0.05), ("# f(7) == 8\n".to_owned(), 1.0)];
        let encoded = |text: &str| {
            tokenizer.encode(&[text.to_owned()], ControlTokens::AsText).unwrap().concat()
        };
        let lengths = [encoded(&parts[0].0).len(), encoded(&parts[1].0).len()];
        let sequence = sequence(&*tokenizer, Document { parts }).unwrap();
        assert_eq!(sequence.prompt.len(), 1);
        assert_eq!(sequence.response.last(), tokenizer.info().eos.first());
        let asked = sequence.weights.iter().take_while(|&&weight| weight == 0.05).count();
        assert_eq!(asked, lengths[0] - 1, "the first token is not predicted");
        assert_eq!(sequence.weights.len(), lengths[0] + lengths[1]);
        assert!(sequence.weights[asked..].iter().all(|&weight| weight == 1.0));
    }

    #[test]
    fn the_rate_rises_then_falls_to_its_last_part() {
        let recipe = Recipe::default();
        let rate = |n_updates, part| learning_rate(&recipe, n_updates, part) / recipe.learning_rate;
        assert!((rate(0, 0.0) - 1.0 / WARMUP).abs() < 1e-12);
        assert!((rate(1_000, 0.0) - 1.0).abs() < 1e-12);
        assert!((rate(1_000, 1.0) - LAST_RATE).abs() < 1e-12);
        assert!(rate(1_000, 0.5) < rate(1_000, 0.4));
    }

    #[test]
    fn the_plot_has_a_point_for_each_line_of_the_curve() {
        let plot = plot(&["118,1000000,3.5,3.1".to_owned(), "237,2000000,1.25,1.1".to_owned()]);
        assert_eq!(plot.matches("<circle").count(), 2, "{plot}");
        assert!(plot.contains("million tokens"), "{plot}");
    }
}
