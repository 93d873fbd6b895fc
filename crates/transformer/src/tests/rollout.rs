//! Generation with int8 copies of the weights: what they are of, who uses them, and how far their policy is away.

use azr_plugin::{
    Completion, GenerateRequest, LossSpec, Quiet, Sampling, TrainSequence, UpdateBounds,
    UpdateReport, UpdateRequest,
};
use azr_weights::{AdapterConfig, Family, Projection};

use super::{loss_spec, optimizer_spec, tiny_model, update_request, vocabulary};
use crate::device::Device;
use crate::memory::quantised_bytes;
use crate::reference::{Quantised, Reference};
use crate::{
    GenerateLimits, LoraOptions, Model, RolloutWeights, TrainingOptions, TransformerError,
};

fn int8() -> TrainingOptions {
    TrainingOptions { rollout_weights: RolloutWeights::Int8, ..TrainingOptions::default() }
}

/// A tiny model that generates with int8 copies.
fn int8_model(family: Family, tied: bool) -> Model<Reference> {
    let mut model = tiny_model(family, tied);
    model.set_training_options(int8()).unwrap();
    model
}

fn requests() -> Vec<GenerateRequest> {
    let sampling = Sampling { temperature: 1.0, top_p: 1.0, max_new_tokens: 12, stop: Vec::new() };
    [&[1, 2, 3, 4, 5][..], &[9], &[4, 4]]
        .into_iter()
        .map(|prompt| GenerateRequest {
            prompt: prompt.to_vec(),
            seeds: (0..6).collect(),
            sampling: sampling.clone(),
        })
        .collect()
}

fn generate(model: &mut Model<Reference>) -> Vec<Completion> {
    let limits = GenerateLimits::default();
    let completions = model.generate(&requests(), &vocabulary(), &limits, &Quiet).unwrap();
    completions.into_iter().flatten().collect()
}

/// Copies made here and now of every matrix that has one, layer after layer, the head last.
fn copies_of_now(model: &Model<Reference>) -> Vec<Quantised> {
    let layers = model
        .weights
        .layers
        .iter()
        .flat_map(|layer| Projection::ALL.map(|projection| &layer.linear(projection).weight));
    layers
        .chain([model.weights.head()])
        .map(|matrix| {
            let mut copy = Reference.quantised_zeros(matrix.n_out, matrix.n_in).unwrap();
            Reference.quantise(matrix, &mut copy).unwrap();
            copy
        })
        .collect()
}

/// The copies that the model would generate with, if they are not out of date.
fn copies_in_use(model: &Model<Reference>) -> Option<Vec<Quantised>> {
    let copies = model.weights.copies()?;
    let layers = (0..model.config().n_layers)
        .flat_map(|layer| Projection::ALL.map(|projection| copies.linear(layer, projection)));
    Some(layers.chain([copies.head()]).cloned().collect())
}

type Change = fn(&mut Model<Reference>);

fn learn(model: &mut Model<Reference>) {
    let request = update_request(model, loss_spec(), &[0.05, -0.1]);
    assert!(model.update(&request, 100, &Quiet).unwrap().applied);
}

fn load_adapters(model: &mut Model<Reference>) {
    let specs = model.trained().to_vec();
    model
        .load_adapters::<TransformerError>(|name| {
            let spec = specs.iter().find(|spec| spec.name == name).unwrap();
            let n: usize = spec.shape.iter().product();
            Ok((0..n).map(|i| ((i * 37 + name.len() * 11) % 23) as f32 / 46.0 - 0.25).collect())
        })
        .unwrap();
}

#[test]
fn copies_are_always_of_the_current_weights() {
    let adapter = AdapterConfig {
        rank: 2,
        alpha: 3.0,
        targets: Projection::ALL.into(),
        base_model: String::new(),
    };
    let lora = TrainingOptions { lora: Some(LoraOptions { adapter, seed: 5 }), ..int8() };
    let write_head: Change = |model| {
        let head = model.parameters().last().unwrap().clone();
        let n: usize = head.shape.iter().product();
        model.write(&head.name, &(0..n).map(|i| (i as f32).sin()).collect::<Vec<_>>()).unwrap();
    };
    let cases: [(&str, TrainingOptions, Change); 4] = [
        ("a parameter was written", int8(), write_head),
        ("the model learned", int8(), learn),
        ("adapters were loaded", lora.clone(), load_adapters),
        ("adapters learned", lora, learn),
    ];
    for (what, options, change) in cases {
        let mut model = tiny_model(Family::Qwen2, false);
        model.set_training_options(options).unwrap();
        assert!(copies_in_use(&model).is_none(), "nothing was generated yet");
        let before = generate(&mut model);
        let first = copies_in_use(&model).unwrap();
        assert!(first == copies_of_now(&model));
        assert_eq!(before, generate(&mut model));

        change(&mut model);
        assert!(copies_in_use(&model).is_none(), "{what}, but the old copies are still in use");
        let after = generate(&mut model);
        let second = copies_in_use(&model).unwrap();
        assert!(second == copies_of_now(&model), "{what}");
        assert!(first != second && before != after, "{what}, and nothing happened");
    }

    // An update that is left out changes no weight, and options are another matter.
    let mut model = int8_model(Family::Llama, true);
    generate(&mut model);
    let mut request = update_request(&model, loss_spec(), &[0.0]);
    request.bounds = UpdateBounds { grad_norm_max: 0.0, ..UpdateBounds::default() };
    assert!(!model.update(&request, 100, &Quiet).unwrap().applied);
    assert!(copies_in_use(&model).unwrap() == copies_of_now(&model));
    let mut model = int8_model(Family::Llama, true);
    let quantised = generate(&mut model);
    model.set_training_options(TrainingOptions::default()).unwrap();
    assert_eq!(generate(&mut model), generate(&mut tiny_model(Family::Llama, true)));
    assert!(copies_in_use(&model).is_none());
    assert_ne!(generate(&mut model), quantised);
}

#[test]
fn copies_take_what_was_planned() {
    for (family, tied) in [(Family::Llama, true), (Family::Qwen2, false)] {
        let mut model = int8_model(family, tied);
        generate(&mut model);
        let bytes = copies_in_use(&model).unwrap();
        let bytes =
            bytes.iter().map(|copy| copy.codes.len() + 4 * copy.scales.len()).sum::<usize>();
        assert_eq!(bytes as u64, quantised_bytes(model.config()));
    }
    let mut model = int8_model(Family::Llama, true);
    model.free_memory = Some(|| Some(1000));
    let error = model.generate(&requests(), &vocabulary(), &GenerateLimits::default(), &Quiet);
    let error = azr_plugin::PluginError::from(error.unwrap_err());
    assert!(error.message.starts_with("making int8 copies of the weights needs 1 MiB"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("rollout_weights")));
}

/// A model with the weights that the copies of `model` stand for, in float32.
fn dequantised(model: &Model<Reference>) -> Model<Reference> {
    let mut other = tiny_model(model.config().family, false);
    let mut copies = copies_of_now(model).into_iter();
    let values = |copy: Quantised| -> Vec<f64> {
        let rows = copy.codes.chunks_exact(copy.n_in).zip(&copy.scales);
        rows.flat_map(|(row, &scale)| {
            row.iter().map(move |&code| f64::from(code) * f64::from(scale)).collect::<Vec<_>>()
        })
        .collect()
    };
    for layer in &mut other.weights.layers {
        for projection in Projection::ALL {
            layer.linear_mut(projection).weight.values = values(copies.next().unwrap());
        }
    }
    other.weights.head_mut().values = values(copies.next().unwrap());
    other
}

/// What an update says of completions, taken to be good ones.
fn update(model: &mut Model<Reference>, completions: &[Completion]) -> UpdateReport {
    let prompts = requests().into_iter().flat_map(|request| {
        let n_samples = request.seeds.len();
        std::iter::repeat_n(request.prompt, n_samples)
    });
    let sequences = prompts.zip(completions).map(|(prompt, completion)| TrainSequence {
        prompt,
        advantages: vec![1.0; completion.tokens.len()],
        weights: vec![0.01; completion.tokens.len()],
        behaviour_logprobs: completion.logprobs.clone(),
        response: completion.tokens.clone(),
        ..TrainSequence::default()
    });
    let request = UpdateRequest {
        sequences: sequences.collect(),
        loss: loss_spec(),
        optimizer: optimizer_spec(),
        bounds: UpdateBounds::default(),
    };
    model.update(&request, 100, &Quiet).unwrap()
}

#[test]
fn log_probs_are_those_of_the_quantised_policy() {
    for family in [Family::Llama, Family::Qwen2] {
        let mut exact = tiny_model(family, false);
        let of_f32 = generate(&mut exact);
        let gap = update(&mut exact, &of_f32).logprob_gap_max;
        assert!(gap < 1e-6, "{gap}");

        // Against the model's own weights: 0.009 on average and at most 0.075 nats.
        let mut model = int8_model(family, false);
        let of_int8 = generate(&mut model);
        let mut expected = dequantised(&model);
        let report = update(&mut model, &of_int8);
        assert!(report.logprob_gap_mean > 1e-3 && report.logprob_gap_max < 0.1, "{report:?}");

        // Against the weights that the copies stand for, only the rounding of the activations is left: at most 0.0015.
        // Were a prompt, a layer or the head computed with other weights, the gap would be that of above.
        let same_policy = update(&mut expected, &of_int8).logprob_gap_max;
        assert!(same_policy < report.logprob_gap_max / 10.0, "{same_policy} {report:?}");
    }
}

#[test]
fn the_ratio_is_to_the_policy_that_sampled() {
    // The loss of an unclipped token of advantage 1 is minus its ratio of probabilities.
    let mut model = int8_model(Family::Llama, false);
    let completions = generate(&mut model);
    let scores: Vec<_> = requests()
        .iter()
        .flat_map(|request| std::iter::repeat_n(request.prompt.clone(), request.seeds.len()))
        .zip(&completions)
        .map(|(prompt, completion)| azr_plugin::ScoreRequest {
            prompt,
            response: completion.tokens.clone(),
            temperature: 1.0,
        })
        .collect();
    let scored = model.score(&scores, 100, &Quiet).unwrap();
    let pairs = completions.iter().zip(&scored).flat_map(|(c, s)| c.logprobs.iter().zip(s));
    let expected: f64 = pairs.map(|(b, l)| -0.01 * (f64::from(*l) - f64::from(*b)).exp()).sum();
    let n_tokens: usize = scored.iter().map(Vec::len).sum();
    let report = update(&mut model, &completions);
    assert!((report.loss - expected).abs() < 1e-5, "{} {expected}", report.loss);
    assert!((report.loss + 0.01 * n_tokens as f64).abs() > 1e-5, "as if it were on-policy");
}

#[test]
fn scoring_and_training_use_the_weights_themselves() {
    let (mut f32, mut int8) = (tiny_model(Family::Llama, true), int8_model(Family::Llama, true));
    assert_ne!(generate(&mut f32), generate(&mut int8));
    // The requests have behaviour log-probs by scoring.
    let loss = LossSpec { entropy_coef: 0.1, ..loss_spec() };
    let requests = [&f32, &int8].map(|model| update_request(model, loss.clone(), &[0.1, -0.2]));
    assert!(requests[0] == requests[1]);
    let [of_f32, of_int8] =
        [&mut f32, &mut int8].map(|model| model.update(&requests[0], 100, &Quiet).unwrap());
    assert!(of_f32 == of_int8);
    let names: Vec<String> = f32.parameters().iter().map(|spec| spec.name.clone()).collect();
    for name in names {
        assert!(f32.read(&name).unwrap() == int8.read(&name).unwrap(), "{name}");
    }
}

#[test]
fn a_weight_that_is_not_finite_ends_generation() {
    let mut model = int8_model(Family::Llama, true);
    assert!(!generate(&mut model).is_empty());
    let up = model.parameters().iter().find(|spec| spec.name.contains("up_proj")).unwrap().clone();
    let mut values = model.read(&up.name).unwrap();
    values[17] = f32::INFINITY;
    model.write(&up.name, &values).unwrap();
    let result = model.generate(&requests(), &vocabulary(), &GenerateLimits::default(), &Quiet);
    assert!(matches!(result, Err(TransformerError::NotFinite)), "{result:?}");
}
