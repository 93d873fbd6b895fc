//! SmolLM2-135M against numbers of independent implementations: float64 logits (NumPy) and float32 training
//! (PyTorch), both from the same quantised file. Skipped where the model is not there,
//! unless AZR_REQUIRE_MODELS is set.

use std::path::PathBuf;
use std::sync::Arc;

use azr_cpu::Cpu;
use azr_plugin::{
    FinishReason, GenerateRequest, LossSpec, OptimizerKind, OptimizerSpec, Quiet, Ratio, Sampling,
    ScoreRequest, TrainSequence, UpdateBounds, UpdateRequest,
};
use azr_transformer::{Device, GenerateLimits, Model, Vocabulary};
use azr_weights::models::models_dir;
use azr_weights::{ModelFile, WeightsError};
use serde::Deserialize;

const MAX_ROWS: usize = 2048;

#[derive(Deserialize)]
struct Expected {
    prompt_ids: Vec<u32>,
    last_top20: Vec<(usize, f64)>,
    last_logsumexp: f64,
    next_token_logprob: Vec<f64>,
    greedy16: Vec<u32>,
    train_ref: Training,
}

#[derive(Deserialize)]
struct Training {
    batch_ids: Vec<Vec<u32>>,
    grad_norm_total: f64,
    grad_norms: std::collections::BTreeMap<String, f64>,
    losses_before_each_step: Vec<f64>,
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("../data/smollm2-135m.json")).unwrap()
}

/// The model file, where pulled models are.
fn model_path() -> Option<PathBuf> {
    let path = models_dir().unwrap().join("smollm2-135m/model.gguf");
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("AZR_REQUIRE_MODELS").is_none(),
        "AZR_REQUIRE_MODELS is set, but there is no {}",
        path.display()
    );
    println!("skipped: no {}", path.display());
    None
}

fn open<D: Device>(device: D) -> Option<Model<D>> {
    let file = ModelFile::open(&model_path()?).unwrap();
    let read = |name: &str| -> Result<Vec<f32>, Error> { Ok(file.read_f32(name)?) };
    Some(Model::load(Arc::new(device), file.config().clone(), None, read).unwrap())
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
enum Error {
    Weights(#[from] WeightsError),
    Transformer(#[from] azr_transformer::TransformerError),
}

fn check_inference<D: Device>(model: &mut Model<D>) {
    let expected = expected();
    let prompt = &expected.prompt_ids;
    let logits = model.logits(prompt, &Quiet).unwrap();
    let last: Vec<f64> =
        logits[logits.len() - model.config().vocab_size..].iter().map(|&x| f64::from(x)).collect();
    let mut order: Vec<usize> = (0..last.len()).collect();
    order.sort_by(|&a, &b| last[b].total_cmp(&last[a]));
    let mut worst = 0.0_f64;
    for (&found, &(id, logit)) in order.iter().zip(&expected.last_top20) {
        worst = worst.max((last[id] - logit).abs());
        assert!((last[found] - logit).abs() <= 2e-3, "{found} in the place of {id}");
    }
    assert!(worst <= 2e-3, "{worst}");
    let max = last[order[0]];
    let logsumexp = max + last.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    assert!((logsumexp - expected.last_logsumexp).abs() <= 1e-3, "{logsumexp}");
    println!("largest error of the top 20 logits {worst:.1e}");

    let score = ScoreRequest {
        prompt: prompt[..1].to_vec(),
        response: prompt[1..].to_vec(),
        temperature: 1.0,
    };
    let scores = model.score(&[score], MAX_ROWS, &Quiet).unwrap().remove(0);
    assert_eq!(scores.len(), expected.next_token_logprob.len());
    for (found, expected) in scores.iter().zip(&expected.next_token_logprob) {
        assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} {expected}");
    }

    let sampling = Sampling { temperature: 0.0, top_p: 1.0, max_new_tokens: 16, stop: Vec::new() };
    let request = GenerateRequest { prompt: prompt.clone(), seeds: vec![0], sampling };
    let completion = model
        .generate(&[request], &Vocabulary::default(), &GenerateLimits::default(), &Quiet, &Quiet)
        .unwrap()
        .remove(0)
        .remove(0);
    assert_eq!(completion.tokens, expected.greedy16);
    assert_eq!(completion.finish, FinishReason::Length);
}

/// Mean next-token cross entropy as a policy loss: advantage 1, ratio 1.
fn cross_entropy<D: Device>(model: &Model<D>, batch: &[Vec<u32>]) -> (f64, UpdateRequest) {
    let scores: Vec<ScoreRequest> = batch
        .iter()
        .map(|ids| ScoreRequest {
            prompt: ids[..1].to_vec(),
            response: ids[1..].to_vec(),
            temperature: 1.0,
        })
        .collect();
    let logprobs = model.score(&scores, MAX_ROWS, &Quiet).unwrap();
    let n_targets: usize = logprobs.iter().map(Vec::len).sum();
    let loss = -logprobs.iter().flatten().map(|&l| f64::from(l)).sum::<f64>() / n_targets as f64;
    let sequences = scores
        .into_iter()
        .zip(logprobs)
        .map(|(score, logprobs)| TrainSequence {
            prompt: score.prompt,
            reference_logprobs: Vec::new(),
            advantages: vec![1.0; score.response.len()],
            weights: vec![1.0 / n_targets as f32; score.response.len()],
            response: score.response,
            behaviour_logprobs: logprobs,
        })
        .collect();
    let loss_spec = LossSpec {
        ratio: Ratio::Token,
        clip_low: 0.2,
        clip_high: 0.2,
        dual_clip: None,
        entropy_coef: 0.0,
        kl_coef: 0.0,
        temperature: 1.0,
    };
    let optimizer = OptimizerSpec {
        kind: OptimizerKind::Adamw,
        learning_rate: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.0,
        max_grad_norm: 0.0,
    };
    let bounds = UpdateBounds::default();
    (loss, UpdateRequest { sequences, loss: loss_spec, optimizer, bounds })
}

fn check_training<D: Device>(model: &mut Model<D>) {
    let expected = expected().train_ref;
    let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-3 * expected.abs();
    for (step, &loss) in expected.losses_before_each_step.iter().enumerate() {
        let (found, request) = cross_entropy(model, &expected.batch_ids);
        println!("loss before step {step}: {found:.6}, expected {loss:.6}");
        assert!(close(found, loss), "{found} {loss}");
        if step + 1 == expected.losses_before_each_step.len() {
            break;
        }
        let report = model.update(&request, MAX_ROWS, &Quiet).unwrap();
        assert!(report.applied && report.clip_fraction == 0.0 && report.logprob_gap_max < 1e-3);
        if step == 0 {
            assert!(close(report.grad_norm, expected.grad_norm_total), "{}", report.grad_norm);
            for (name, &norm) in &expected.grad_norms {
                let gradient = model.read_gradient(name).unwrap().unwrap();
                let found = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
                assert!(close(found, norm), "{name}: {found} {norm}");
            }
        }
    }
}

#[test]
fn logits_and_greedy_text_are_the_published_ones() {
    if let Some(mut model) = open(Cpu::new(None).unwrap()) {
        check_inference(&mut model);
    }
}

#[test]
fn gradients_and_steps_are_those_of_pytorch() {
    if let Some(mut model) = open(Cpu::new(None).unwrap()) {
        check_training(&mut model);
    }
}
