//! The CPU against the reference device on tiny models, and its independence of threads and batches.

use std::sync::Arc;

use azr_cpu::Cpu;
use azr_plugin::{
    GenerateRequest, LossSpec, OptimizerKind, OptimizerSpec, Quiet, Ratio, Sampling, ScoreRequest,
    TrainSequence, UpdateBounds, UpdateReport, UpdateRequest,
};
use azr_transformer::reference::Reference;
use azr_transformer::{Device, GenerateLimits, Model, Vocabulary};
use azr_weights::{Family, ModelConfig};

/// A tiny model's sizes, none of them a multiple of a vector's width where that is possible.
pub(crate) fn tiny_config(family: Family, tied: bool) -> ModelConfig {
    ModelConfig {
        family,
        hidden_size: 44,
        intermediate_size: 70,
        n_layers: 3,
        n_heads: 6,
        n_kv_heads: 2,
        head_dim: 10,
        vocab_size: 203,
        context_length: 300,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: tied,
        qkv_bias: family == Family::Qwen2,
    }
}

fn model<D: Device>(device: D, family: Family) -> Model<D> {
    Model::random(Arc::new(device), tiny_config(family, family == Family::Llama), 3).unwrap()
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(Some(threads)).unwrap()
}

/// Tokens that look random.
fn tokens(seed: u32, len: usize) -> Vec<u32> {
    (0..len as u32)
        .map(|i| (seed.wrapping_mul(7919) ^ i.wrapping_mul(2_654_435_761)) >> 7)
        .map(|t| t % 203)
        .collect()
}

/// Three groups of samples of different lengths, with mixed advantages.
pub(crate) fn update_request() -> UpdateRequest {
    let mut sequences = Vec::new();
    for (prompt_seed, prompt_len) in [(1, 37), (2, 1), (3, 90)] {
        for sample in 0..4_usize {
            let len = 5 + 13 * sample;
            let values = |scale: f32, shift: f32| {
                (0..len).map(|i| ((i * 7 + sample * 3) % 5) as f32 * scale + shift).collect()
            };
            sequences.push(TrainSequence {
                prompt: tokens(prompt_seed, prompt_len),
                response: tokens(100 + prompt_seed * 10 + sample as u32, len),
                behaviour_logprobs: values(-0.1, -5.2),
                reference_logprobs: values(-0.3, -4.9),
                advantages: values(0.6, -1.1),
                weights: values(0.002, 0.001),
            });
        }
    }
    UpdateRequest {
        sequences,
        loss: LossSpec {
            ratio: Ratio::Token,
            clip_low: 0.2,
            clip_high: 0.3,
            dual_clip: Some(3.0),
            entropy_coef: 0.01,
            kl_coef: 0.0,
            temperature: 0.9,
        },
        optimizer: OptimizerSpec {
            kind: OptimizerKind::Adamw,
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            weight_decay: 0.01,
            max_grad_norm: 1.0,
        },
        bounds: UpdateBounds::default(),
    }
}

/// The gradients of one update, parameter by parameter, and its report.
fn gradients<D: Device>(
    model: &mut Model<D>,
    request: &UpdateRequest,
    max_rows: usize,
) -> (Vec<(String, Vec<f32>)>, UpdateReport) {
    let report = model.update(request, max_rows, &Quiet).unwrap();
    let names: Vec<String> = model.parameters().iter().map(|spec| spec.name.clone()).collect();
    (
        names
            .into_iter()
            .map(|name| (name.clone(), model.read_gradient(&name).unwrap().unwrap()))
            .collect(),
        report,
    )
}

fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

fn assert_near(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)], tolerance: f64) {
    for ((name, a), (_, b)) in a.iter().zip(b) {
        let error = norm(a.iter().zip(b).map(|(a, b)| a - b)) / norm(b.iter().copied());
        assert!(error < tolerance, "{name}: {error:.1e}");
    }
}

#[test]
fn logits_gradients_and_step_are_those_of_the_reference() {
    for family in [Family::Llama, Family::Qwen2] {
        let (mut fast, mut slow) = (model(cpu(2), family), model(Reference, family));
        let text = tokens(9, 120);
        let (a, b) = (fast.logits(&text, &Quiet).unwrap(), slow.logits(&text, &Quiet).unwrap());
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-5, "{worst}");

        let (a, report) = gradients(&mut fast, &update_request(), 2048);
        let (b, expected) = gradients(&mut slow, &update_request(), 2048);
        assert_near(&a, &b, 2e-5);
        assert!((report.loss - expected.loss).abs() < 1e-5 * expected.loss.abs());
        assert!((report.grad_norm - expected.grad_norm).abs() < 1e-5 * expected.grad_norm);
        assert!((report.entropy - expected.entropy).abs() < 1e-5);
        assert_eq!((report.n_tokens, report.applied), (expected.n_tokens, true));
        assert!(report.clip_fraction > 0.1 && report.clip_fraction < 0.9, "{report:?}");

        let names: Vec<String> = fast.parameters().iter().map(|spec| spec.name.clone()).collect();
        let weights = |read: &dyn Fn(&str) -> Vec<f32>| {
            names.iter().map(|n| (n.clone(), read(n))).collect::<Vec<_>>()
        };
        assert_near(
            &weights(&|name| fast.read(name).unwrap()),
            &weights(&|name| slow.read(name).unwrap()),
            1e-4,
        );
    }
}

/// The loss that needs log-probabilities before it has gradients.
fn whole_response_request() -> UpdateRequest {
    let mut request = update_request();
    request.loss = LossSpec { ratio: Ratio::Sequence, kl_coef: 0.2, ..request.loss };
    request
}

#[test]
fn losses_of_whole_responses_are_those_of_the_reference() {
    let request = whole_response_request();
    let (a, report) = gradients(&mut model(cpu(2), Family::Llama), &request, 2048);
    let (b, expected) = gradients(&mut model(Reference, Family::Llama), &request, 2048);
    assert_near(&a, &b, 2e-5);
    assert!((report.loss - expected.loss).abs() < 1e-5 * expected.loss.abs());
    assert!(report.kl > 0.01 && (report.kl - expected.kl).abs() < 1e-5, "{report:?}");
    assert_eq!(report.clip_fraction, expected.clip_fraction);
}

#[test]
fn micro_batches_change_rounding_only_and_threads_nothing() {
    for request in [update_request(), whole_response_request()] {
        let of = |threads: usize, max_rows| {
            gradients(&mut model(cpu(threads), Family::Qwen2), &request, max_rows).0
        };
        let whole = of(1, 2048);
        for max_rows in [1, 64, 200] {
            assert_near(&of(2, max_rows), &whole, 2e-5);
        }
        for threads in [2, 3] {
            assert_eq!(whole, of(threads, 2048), "{threads} threads");
        }
    }
}

#[test]
fn samples_do_not_depend_on_company_threads_or_limits_to_the_bit() {
    let vocabulary =
        Vocabulary { bytes: (0..203).map(|id| vec![id as u8]).collect(), eos: vec![5] };
    let sampling = |temperature, top_p| Sampling {
        temperature,
        top_p,
        max_new_tokens: 40,
        stop: vec!["7".into()],
    };
    let requests: Vec<GenerateRequest> =
        [(1, 70, 1.0, 1.0), (2, 1, 0.7, 0.9), (3, 129, 1.3, 0.95), (1, 70, 0.0, 1.0)]
            .into_iter()
            .map(|(seed, len, temperature, top_p)| GenerateRequest {
                prompt: tokens(seed, len),
                seeds: (0..6).collect(),
                sampling: sampling(temperature, top_p),
            })
            .collect();
    for family in [Family::Llama, Family::Qwen2] {
        let generate = |threads: usize,
                        requests: &[GenerateRequest],
                        max_live_rows: usize,
                        prefill_rows: usize| {
            let limits =
                GenerateLimits { max_live_rows, prefill_rows, ..GenerateLimits::default() };
            model(cpu(threads), family)
                .generate(requests, &vocabulary, &limits, &Quiet, &Quiet)
                .unwrap()
        };
        let all = generate(2, &requests, 64, 512);
        for (threads, max_live_rows, prefill_rows) in [(1, 64, 512), (2, 5, 33), (3, 9, 70)] {
            assert_eq!(all, generate(threads, &requests, max_live_rows, prefill_rows));
        }
        for (request, expected) in requests.iter().zip(&all) {
            let alone = GenerateRequest { seeds: vec![4], ..request.clone() };
            assert_eq!(generate(1, &[alone], 64, 512)[0][0], expected[4]);
        }

        // What a sample says of itself is what scoring says of it.
        let model = model(cpu(2), family);
        for (request, completions) in requests.iter().zip(&all) {
            let temperature =
                if request.sampling.temperature > 0.0 { request.sampling.temperature } else { 1.0 };
            let scores: Vec<ScoreRequest> = completions
                .iter()
                .map(|c| ScoreRequest {
                    prompt: request.prompt.clone(),
                    response: c.tokens.clone(),
                    temperature,
                })
                .collect();
            let scored = model.score(&scores, 2048, &Quiet).unwrap();
            for (completion, scored) in completions.iter().zip(scored) {
                assert_eq!(completion.logprobs.len(), scored.len());
                let worst = completion
                    .logprobs
                    .iter()
                    .zip(scored)
                    .map(|(a, b)| (a - b).abs())
                    .fold(0.0, f32::max);
                assert!(worst < 2e-5, "{worst}");
            }
        }
    }
}
