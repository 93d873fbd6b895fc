//! Generation with copies of the weights in fewer bytes: what they are of, who uses them, and how far their policy is away.

use azr_plugin::{
    Completion, GenerateRequest, LossSpec, Quiet, Sampling, TrainSequence, UpdateBounds,
    UpdateReport, UpdateRequest,
};
use azr_weights::{AdapterConfig, Family, Projection};

use super::{loss_spec, optimizer_spec, tiny_model, update_request, vocabulary};
use crate::device::{CopyFormat, Device};
use crate::memory::copy_bytes;
use crate::reference::{Reference, WeightCopy};
use crate::{GenerateLimits, LoraOptions, Model, TrainingOptions, TransformerError};

fn options(format: CopyFormat) -> TrainingOptions {
    TrainingOptions { rollout_weights: Some(format), ..TrainingOptions::default() }
}

/// A tiny model that generates with copies.
fn copying_model(format: CopyFormat, family: Family, tied: bool) -> Model<Reference> {
    let mut model = tiny_model(family, tied);
    model.set_training_options(options(format)).unwrap();
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
    let completions = model.generate(&requests(), &vocabulary(), &limits, &Quiet, &Quiet).unwrap();
    completions.into_iter().flatten().collect()
}

/// Copies made here and now of every matrix that has one, layer after layer, the head last.
fn copies_of_now(model: &Model<Reference>) -> Vec<WeightCopy> {
    let format = model.options.rollout_weights.unwrap();
    let layers = model
        .weights
        .layers
        .iter()
        .flat_map(|layer| Projection::ALL.map(|projection| &layer.linear(projection).weight));
    layers
        .chain([model.weights.head()])
        .map(|matrix| {
            let mut copy = Reference.copy_zeros(matrix.n_out, matrix.n_in, format).unwrap();
            Reference.copy_write(&mut copy, matrix).unwrap();
            copy
        })
        .collect()
}

/// The copies that the model would generate with, if they are not out of date.
fn copies_in_use(model: &Model<Reference>) -> Option<Vec<WeightCopy>> {
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
    let lora = |format| TrainingOptions {
        lora: Some(LoraOptions { adapter: adapter.clone(), seed: 5 }),
        ..options(format)
    };
    let write_head: Change = |model| {
        let head = model.parameters().last().unwrap().clone();
        let n: usize = head.shape.iter().product();
        model.write(&head.name, &(0..n).map(|i| (i as f32).sin()).collect::<Vec<_>>()).unwrap();
    };
    let cases = CopyFormat::ALL.into_iter().flat_map(|format| {
        [
            ("a parameter was written", options(format), write_head),
            ("the model learned", options(format), learn as Change),
            ("adapters were loaded", lora(format), load_adapters as Change),
            ("adapters learned", lora(format), learn as Change),
        ]
    });
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
    let mut model = copying_model(CopyFormat::Int8, Family::Llama, true);
    generate(&mut model);
    let mut request = update_request(&model, loss_spec(), &[0.0]);
    request.bounds = UpdateBounds { grad_norm_max: 0.0, ..UpdateBounds::default() };
    assert!(!model.update(&request, 100, &Quiet).unwrap().applied);
    assert!(copies_in_use(&model).unwrap() == copies_of_now(&model));
}

#[test]
fn other_options_mean_other_copies() {
    let mut model = tiny_model(Family::Llama, true);
    let of_f32 = generate(&mut model);
    let mut generated = Vec::new();
    for format in CopyFormat::ALL {
        model.set_training_options(options(format)).unwrap();
        assert!(copies_in_use(&model).is_none());
        generated.push(generate(&mut model));
        assert!(copies_in_use(&model).unwrap() == copies_of_now(&model));
        assert_eq!(
            generated.last(),
            Some(&generate(&mut copying_model(format, Family::Llama, true)))
        );
    }
    model.set_training_options(TrainingOptions::default()).unwrap();
    assert_eq!(generate(&mut model), of_f32);
    assert!(copies_in_use(&model).is_none());
    assert!(generated[0] != of_f32 && generated[1] != of_f32 && generated[0] != generated[1]);
}

#[test]
fn copies_take_what_was_planned() {
    for format in CopyFormat::ALL {
        for (family, tied) in [(Family::Llama, true), (Family::Qwen2, false)] {
            let mut model = copying_model(format, family, tied);
            generate(&mut model);
            let copies = copies_in_use(&model).unwrap();
            let bytes = copies.iter().map(|copy| match copy {
                WeightCopy::Bf16(copy) => 2 * copy.values.len(),
                WeightCopy::Int8(copy) => copy.codes.len() + 4 * copy.scales.len(),
            });
            assert_eq!(bytes.sum::<usize>() as u64, copy_bytes(model.config(), format));
        }
        let mut model = copying_model(format, Family::Llama, true);
        model.free_memory = Some(std::sync::Arc::new(|| Some(1000)));
        let error =
            model.generate(&requests(), &vocabulary(), &GenerateLimits::default(), &Quiet, &Quiet);
        let error = azr_plugin::PluginError::from(error.unwrap_err());
        let message = "copying the weights for generation needs 1 MiB";
        assert!(error.message.starts_with(message), "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("rollout_weights")));
    }
}

/// A model with the weights that the copies of `model` stand for.
fn model_of_copies(model: &Model<Reference>) -> Model<Reference> {
    let mut other = tiny_model(model.config().family, false);
    let mut copies = copies_of_now(model).into_iter();
    let mut replace = |values: &mut Vec<f64>| {
        let mut of_copy = vec![0.0; values.len()];
        Reference.copy_read(&copies.next().unwrap(), &mut of_copy).unwrap();
        *values = of_copy.into_iter().map(f64::from).collect();
    };
    for layer in &mut other.weights.layers {
        for projection in Projection::ALL {
            replace(&mut layer.linear_mut(projection).weight.values);
        }
    }
    replace(&mut other.weights.head_mut().values);
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
fn log_probs_are_those_of_the_policy_of_the_copies() {
    for family in [Family::Llama, Family::Qwen2] {
        let mut exact = tiny_model(family, false);
        let of_f32 = generate(&mut exact);
        let gap = update(&mut exact, &of_f32).logprob_gap_max;
        assert!(gap < 1e-6, "{gap}");

        for (format, mean_bound, max_bound, same_bound) in [
            // Against the model's own weights: 0.004 on average and at most 0.022 nats.
            (CopyFormat::Bf16, 1e-3, 0.04, 1e-6),
            // Against the model's own weights: 0.009 on average and at most 0.075 nats. Against the weights that the
            // copies stand for, only the rounding of the activations is left: at most 0.0015.
            (CopyFormat::Int8, 1e-3, 0.1, 0.01),
        ] {
            let mut model = copying_model(format, family, false);
            let of_copies = generate(&mut model);
            let mut expected = model_of_copies(&model);
            let report = update(&mut model, &of_copies);
            let is_near = report.logprob_gap_max < max_bound;
            assert!(report.logprob_gap_mean > mean_bound && is_near, "{format:?} {report:?}");

            // Were a prompt, a layer or the head computed with other weights, the gap would be that of above.
            let same_policy = update(&mut expected, &of_copies).logprob_gap_max;
            assert!(same_policy < same_bound, "{format:?} {same_policy} {report:?}");
            assert!(same_policy < report.logprob_gap_max / 10.0, "{format:?} {same_policy}");
        }
    }
}

#[test]
fn the_ratio_is_to_the_policy_that_sampled() {
    // The loss of an unclipped token of advantage 1 is minus its ratio of probabilities.
    let mut model = copying_model(CopyFormat::Int8, Family::Llama, false);
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
    for format in CopyFormat::ALL {
        let mut own = tiny_model(Family::Llama, true);
        let mut copying = copying_model(format, Family::Llama, true);
        assert_ne!(generate(&mut own), generate(&mut copying));
        // The requests have behaviour log-probs by scoring.
        let loss = LossSpec { entropy_coef: 0.1, ..loss_spec() };
        let requests =
            [&own, &copying].map(|model| update_request(model, loss.clone(), &[0.1, -0.2]));
        assert!(requests[0] == requests[1]);
        let reports =
            [&mut own, &mut copying].map(|model| model.update(&requests[0], 100, &Quiet).unwrap());
        assert!(reports[0] == reports[1]);
        let names: Vec<String> = own.parameters().iter().map(|spec| spec.name.clone()).collect();
        for name in names {
            assert!(own.read(&name).unwrap() == copying.read(&name).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_weight_that_is_not_finite_ends_generation() {
    for format in CopyFormat::ALL {
        for bad in [f32::INFINITY, f32::from_bits(0x7f80_0001)] {
            let mut model = copying_model(format, Family::Llama, true);
            assert!(!generate(&mut model).is_empty());
            let mut parameters = model.parameters().iter();
            let up = parameters.find(|spec| spec.name.contains("up_proj")).unwrap().name.clone();
            let mut values = model.read(&up).unwrap();
            values[17] = bad;
            model.write(&up, &values).unwrap();
            let limits = GenerateLimits::default();
            let result = model.generate(&requests(), &vocabulary(), &limits, &Quiet, &Quiet);
            assert!(matches!(result, Err(TransformerError::NotFinite)), "{format:?} {result:?}");
        }
    }
}
