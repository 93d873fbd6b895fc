//! Tiny models on the GPU against the reference device, with heads that tensor cores take.

use std::sync::Arc;

use azr_plugin::{
    Completion, GenerateRequest, LossSpec, OptimizerKind, OptimizerSpec, Quiet, Ratio, Sampling,
    ScoreRequest, TrainSequence, UpdateBounds, UpdateRequest,
};
use azr_transformer::reference::Reference;
use azr_transformer::{
    ActivationPrecision, CopyFormat, Device, GenerateLimits, Model, StatePrecision,
    TrainingOptions, Vocabulary,
};
use azr_weights::{Family, ModelConfig};

use crate::gpu;

const VOCAB: usize = 203;

fn config() -> ModelConfig {
    ModelConfig {
        family: Family::Qwen2,
        hidden_size: 72,
        intermediate_size: 104,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 64,
        vocab_size: VOCAB,
        context_length: 400,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-6,
        tie_word_embeddings: false,
        qkv_bias: true,
    }
}

/// The same weights on every device: values that bfloat16 holds, so that nothing but arithmetic differs.
fn model<D: Device>(device: D, options: TrainingOptions) -> Model<D> {
    let mut model = Model::random(Arc::new(device), config(), 3).unwrap();
    let names: Vec<String> = model.parameters().iter().map(|spec| spec.name.clone()).collect();
    for name in names {
        let halved = model.read(&name).unwrap().into_iter();
        let halved: Vec<f32> =
            halved.map(|value| f32::from_bits(value.to_bits() & 0xffff_0000)).collect();
        model.write(&name, &halved).unwrap();
    }
    model.set_training_options(options).unwrap();
    model
}

/// Tokens that look random.
fn tokens(seed: u32, len: usize) -> Vec<u32> {
    let mixed = |i: u32| (seed.wrapping_mul(7919) ^ i.wrapping_mul(2_654_435_761)) >> 7;
    (0..len as u32).map(|i| mixed(i) % VOCAB as u32).collect()
}

/// Two groups of samples of different lengths, with mixed advantages.
fn update_request(kind: OptimizerKind) -> UpdateRequest {
    let mut sequences = Vec::new();
    for (prompt_seed, prompt_len) in [(1, 37), (3, 90)] {
        for sample in 0..3_usize {
            let len = 5 + 13 * sample;
            let values = |scale: f32, shift: f32| {
                (0..len).map(|i| ((i * 7 + sample * 3) % 5) as f32 * scale + shift).collect()
            };
            sequences.push(TrainSequence {
                prompt: tokens(prompt_seed, prompt_len),
                response: tokens(100 + prompt_seed * 10 + sample as u32, len),
                behaviour_logprobs: values(-0.1, -5.2),
                reference_logprobs: Vec::new(),
                advantages: values(0.6, -1.1),
                weights: values(0.002, 0.001),
            });
        }
    }
    UpdateRequest {
        sequences,
        // Without a ratio no token is clipped, which a rounding could change.
        loss: LossSpec { ratio: Ratio::None, entropy_coef: 0.01, ..LossSpec::default() },
        optimizer: OptimizerSpec {
            kind,
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

type Tensors = Vec<(String, Vec<f32>)>;

fn tensors<D: Device>(model: &Model<D>, read: impl Fn(&str) -> Vec<f32>) -> Tensors {
    model.parameters().iter().map(|spec| (spec.name.clone(), read(&spec.name))).collect()
}

fn gradients<D: Device>(model: &Model<D>) -> Tensors {
    tensors(model, |name| model.read_gradient(name).unwrap().unwrap())
}

fn weights<D: Device>(model: &Model<D>) -> Tensors {
    tensors(model, |name| model.read(name).unwrap())
}

/// The largest distance of a tensor, relative to its norm.
fn distance(a: &Tensors, b: &Tensors) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    let mut largest = 0.0;
    for ((_, a), (_, b)) in a.iter().zip(b) {
        let difference = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
        largest = f64::max(largest, difference / norm(&mut b.iter().copied()));
    }
    largest
}

#[test]
fn an_update_is_that_of_the_reference() {
    // Float32 sums of a few hundred terms; and bfloat16 activations, whose errors of 1/512 meet in two layers.
    for (precision, tolerance) in
        [(ActivationPrecision::F32, 2e-5), (ActivationPrecision::Bf16, 0.03)]
    {
        let (mut fast, mut slow) = (
            model(gpu::open(precision), TrainingOptions::default()),
            model(Reference, TrainingOptions::default()),
        );
        let request = update_request(OptimizerKind::Adamw);
        let report = fast.update(&request, 2048, &Quiet).unwrap();
        let expected = slow.update(&request, 2048, &Quiet).unwrap();
        let error = distance(&gradients(&fast), &gradients(&slow));
        assert!(error < tolerance, "{precision:?}: gradients differ by {error:.1e}");
        let near = |a: f64, b: f64| (a - b).abs() < tolerance * b.abs();
        assert!(near(report.loss, expected.loss), "{report:?} {expected:?}");
        assert!(near(report.grad_norm, expected.grad_norm), "{report:?} {expected:?}");
        assert!(near(report.entropy, expected.entropy), "{report:?} {expected:?}");
        // The sign of a gradient decides the first step of AdamW, so that weights differ where gradients are next to
        // nothing: by two steps at most.
        let error = distance(&weights(&fast), &weights(&slow));
        assert!(error < 0.02, "{precision:?}: weights differ by {error:.1e}");
    }
}

#[test]
fn options_of_training_do_what_they_say() {
    let update = |options: TrainingOptions, kind| {
        let mut model = model(gpu::open(ActivationPrecision::Bf16), options);
        for _ in 0..2 {
            model.update(&update_request(kind), 2048, &Quiet).unwrap();
        }
        (gradients(&model), weights(&model))
    };
    let plain = update(TrainingOptions::default(), OptimizerKind::Adamw);
    let checkpointed = TrainingOptions { gradient_checkpointing: true, ..Default::default() };
    assert_eq!(update(checkpointed, OptimizerKind::Adamw), plain, "the same to the bit");
    assert_eq!(update(TrainingOptions::default(), OptimizerKind::Adamw), plain, "and repeated");
    for (optimizer_state, tolerance) in [(StatePrecision::Bf16, 2e-3), (StatePrecision::Int8, 0.02)]
    {
        let options = TrainingOptions { optimizer_state, ..Default::default() };
        let error = distance(&update(options, OptimizerKind::Adamw).1, &plain.1);
        assert!(error > 0.0 && error < tolerance, "{optimizer_state:?}: {error:.1e}");
    }
    let (_, muon) = update(TrainingOptions::default(), OptimizerKind::Muon);
    let mut reference = model(Reference, TrainingOptions::default());
    for _ in 0..2 {
        reference.update(&update_request(OptimizerKind::Muon), 2048, &Quiet).unwrap();
    }
    let error = distance(&muon, &weights(&reference));
    assert!(error < 0.02, "Muon: {error:.1e}");
}

fn requests() -> Vec<GenerateRequest> {
    let request = |(seed, len, temperature): (u32, usize, f32)| GenerateRequest {
        prompt: tokens(seed, len),
        seeds: (0..5).collect(),
        sampling: Sampling { temperature, top_p: 0.95, max_new_tokens: 12, stop: Vec::new() },
    };
    [(1, 70, 1.0), (2, 1, 0.7), (3, 290, 1.3), (4, 9, 0.0)].map(request).to_vec()
}

fn generate<D: Device>(model: &mut Model<D>) -> Vec<Vec<Completion>> {
    let bytes = (0..VOCAB).map(|id| vec![id as u8]).collect();
    // Some samples end early, so that steps have fewer and fewer rows.
    let vocabulary = Vocabulary { bytes, eos: vec![5, 17, 40] };
    model.generate(&requests(), &vocabulary, &GenerateLimits::default(), &Quiet, &Quiet).unwrap()
}

#[test]
fn samples_are_those_of_the_reference_and_steps_become_graphs() {
    let mut fast = model(gpu::open(ActivationPrecision::F32), TrainingOptions::default());
    let found = generate(&mut fast);
    let wanted = generate(&mut model(Reference, TrainingOptions::default()));
    for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
        assert_eq!(found.tokens, wanted.tokens);
        for (found, wanted) in found.logprobs.iter().zip(&wanted.logprobs) {
            assert!((found - wanted).abs() < 1e-4, "{found} {wanted}");
        }
    }
    let n_replays = fast.device().n_replays();
    assert!(n_replays > 0, "no step of decoding was a graph");
    // The second time every step has been seen before.
    assert_eq!(generate(&mut fast), found);
    assert!(fast.device().n_replays() > n_replays + 8, "{} graphs", fast.device().n_replays());
}

#[test]
fn what_a_sample_says_of_itself_is_near_what_scoring_says() {
    // Samples of bfloat16 activations are scored in another order of sums; those of int8 copies are of another policy.
    for (rollout_weights, tolerance) in [(None, 0.05), (Some(CopyFormat::Int8), 0.3)] {
        let options = TrainingOptions { rollout_weights, ..Default::default() };
        let mut model = model(gpu::open(ActivationPrecision::Bf16), options);
        let completions = generate(&mut model);
        for (request, completions) in requests().iter().zip(completions) {
            let temperature = request.sampling.temperature;
            let temperature = if temperature > 0.0 { temperature } else { 1.0 };
            let score = |completion: &Completion| ScoreRequest {
                prompt: request.prompt.clone(),
                response: completion.tokens.clone(),
                temperature,
            };
            let scores: Vec<ScoreRequest> = completions.iter().map(score).collect();
            let scored = model.score(&scores, 2048, &Quiet).unwrap();
            for (completion, scored) in completions.iter().zip(scored) {
                for (sampled, scored) in completion.logprobs.iter().zip(scored) {
                    assert!((sampled - scored).abs() < tolerance, "{sampled} {scored}");
                }
            }
        }
    }
}
