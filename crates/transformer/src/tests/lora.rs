//! Adapters: gradients against finite differences, what is frozen, and what the model computes with.

use azr_plugin::{LossSpec, Quiet};
use azr_weights::{AdapterConfig, Family, Projection};

use super::gradients::plain_loss;
use super::{loss_spec, tiny_model, update_request};
use crate::device::{Tensor, TensorMut};
use crate::lora::bytes_of_frozen;
use crate::reference::Reference;
use crate::{LoraOptions, Model, TrainingOptions, TransformerError};

fn options(rank: usize, targets: &[Projection]) -> TrainingOptions {
    let adapter = AdapterConfig {
        rank,
        alpha: 3.0,
        targets: targets.iter().copied().collect(),
        base_model: String::new(),
    };
    TrainingOptions { lora: Some(LoraOptions { adapter, seed: 5 }), ..TrainingOptions::default() }
}

/// A model whose adapters all do something.
fn adapted(family: Family, tied: bool) -> Model<Reference> {
    let mut model = tiny_model(family, tied);
    model.set_training_options(options(2, &Projection::ALL)).unwrap();
    let specs = model.trained().to_vec();
    model
        .load_adapters::<TransformerError>(|name| {
            let spec = specs.iter().find(|spec| spec.name == name).unwrap();
            let n: usize = spec.shape.iter().product();
            Ok((0..n).map(|i| ((i * 37 + name.len() * 11) % 23) as f32 / 46.0 - 0.25).collect())
        })
        .unwrap();
    model
}

fn matrix<'a>(tensor: Tensor<'a, Reference>) -> &'a [f64] {
    match tensor {
        Tensor::Matrix(matrix) => &matrix.values,
        Tensor::Vector(_) => panic!("adapters are matrices"),
    }
}

/// `W + alpha / rank * B A` of every adapted matrix, in float64 by its definition.
fn materialize(model: &mut Model<Reference>, base: &Model<Reference>) {
    let (lora, weights) = (model.lora.as_ref().unwrap(), &mut model.weights);
    for (index, layer) in lora.layers.iter().enumerate() {
        for (&projection, adapter) in layer {
            let (a, b) = (&adapter.pair.a, &adapter.pair.b);
            let frozen = &base.weights.layers[index].linear(projection).weight;
            let weight = &mut weights.layers[index].linear_mut(projection).weight;
            for (i, value) in weight.values.iter_mut().enumerate() {
                let (row, column) = (i / a.n_in, i % a.n_in);
                let product: f64 = (0..a.n_out)
                    .map(|r| b.values[row * a.n_out + r] * a.values[r * a.n_in + column])
                    .sum();
                *value = frozen.values[i] + 1.5 * product;
            }
        }
    }
}

fn adapter_value(model: &mut Model<Reference>, tensor: usize, element: usize) -> &mut f64 {
    match model.trained_tensors_mut().swap_remove(tensor) {
        TensorMut::Matrix(matrix) => &mut matrix.values[element],
        TensorMut::Vector(_) => panic!("adapters are matrices"),
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for (family, tied) in [(Family::Llama, true), (Family::Qwen2, false)] {
        let base = tiny_model(family, tied);
        let mut model = adapted(family, tied);
        let loss = LossSpec { entropy_coef: 0.2, temperature: 0.9, ..loss_spec() };
        let request = update_request(&model, loss, &[0.05, -0.1]);
        let mut trained = adapted(family, tied);
        trained.update(&request, 100, &Quiet).unwrap();
        let gradients = trained.training.as_ref().unwrap().gradients.tensors();
        assert_eq!(gradients.len(), 2 * 7 * 2);
        let step = 1e-5;
        for (tensor, gradient) in gradients.into_iter().enumerate() {
            let name = model.trained()[tensor].name.clone();
            let gradient = matrix(gradient);
            assert!(gradient.iter().any(|g| g.abs() > 1e-4), "{name} has no gradient to compare");
            for (element, &analytic) in gradient.iter().enumerate().step_by(3) {
                let value = *adapter_value(&mut model, tensor, element);
                let mut loss_at = |value: f64| {
                    *adapter_value(&mut model, tensor, element) = value;
                    materialize(&mut model, &base);
                    plain_loss(&model, &request)
                };
                let numeric = (loss_at(value + step) - loss_at(value - step)) / (2.0 * step);
                loss_at(value);
                assert!(
                    (numeric - analytic).abs() < 3e-7,
                    "{name}[{element}]: {analytic}, should be {numeric}"
                );
            }
        }
    }
}

#[test]
fn the_model_computes_with_the_sum_and_goes_back_exactly() {
    let base = tiny_model(Family::Qwen2, true);
    let model = adapted(Family::Qwen2, true);
    let mut exact = adapted(Family::Qwen2, true);
    materialize(&mut exact, &base);
    let mut n_changed = 0;
    for spec in model.parameters() {
        let (found, wanted) = (model.read(&spec.name).unwrap(), exact.read(&spec.name).unwrap());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!((found - wanted).abs() < 1e-6, "{}: {found} {wanted}", spec.name);
        }
        n_changed += usize::from(found != base.read(&spec.name).unwrap());
    }
    assert_eq!(n_changed, 14, "seven matrices of two layers are adapted");

    // Adapters of zeros are the model itself, to the bit, whatever they were before.
    let mut model = model;
    let specs = model.trained().to_vec();
    let zeros = |name: &str| {
        let spec = specs.iter().find(|spec| spec.name == name).unwrap();
        Ok(vec![0.0; spec.shape.iter().product()])
    };
    model.load_adapters::<TransformerError>(zeros).unwrap();
    for spec in base.parameters() {
        assert_eq!(model.read(&spec.name).unwrap(), base.read(&spec.name).unwrap());
    }
}

#[test]
fn only_adapters_learn() {
    let base = tiny_model(Family::Llama, true);
    let mut model = tiny_model(Family::Llama, true);
    model.set_training_options(options(3, &[Projection::Q, Projection::Up])).unwrap();
    assert_eq!(model.trained().len(), 2 * 2 * 2);
    let loss = LossSpec { clip_high: 9.0, clip_low: 1.0, ..loss_spec() };
    let mut request = update_request(&model, loss, &[0.0]);
    request.optimizer.weight_decay = 0.0;
    let losses: Vec<f64> =
        (0..5).map(|_| model.update(&request, 100, &Quiet).unwrap().loss).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
    for spec in base.parameters() {
        let same = model.read(&spec.name).unwrap() == base.read(&spec.name).unwrap();
        let is_target = spec.name.contains("q_proj") || spec.name.contains("up_proj");
        assert_eq!(same, !is_target, "{}", spec.name);
    }
    assert!(model.write("model.norm.weight", &[1.0; 12]).is_err());
}

#[test]
fn fresh_adapters_are_uniform_and_a_function_of_the_seed() {
    let first = |seed: u64| {
        let mut options = options(4, &[Projection::Gate]);
        options.lora.as_mut().unwrap().seed = seed;
        let mut model = tiny_model(Family::Llama, true);
        model.set_training_options(options).unwrap();
        let names: Vec<String> = model.trained().iter().map(|spec| spec.name.clone()).collect();
        names.iter().map(|name| model.read_adapter(name).unwrap()).collect::<Vec<_>>()
    };
    let values = first(1);
    assert_eq!(values, first(1));
    assert_ne!(values, first(2));
    assert_ne!(values[0], values[2]);
    let bound = 1.0 / 12_f32.sqrt();
    assert!(values[0].iter().all(|value| value.abs() <= bound));
    assert!(values[0].iter().any(|value| value.abs() > 0.8 * bound));
    assert!(values[1].iter().all(|&value| value == 0.0));
}

#[test]
fn adapters_that_do_not_fit_are_refused_in_words() {
    let mut model = tiny_model(Family::Llama, true);
    let error = model.set_training_options(options(9, &[Projection::K])).unwrap_err();
    assert!(error.to_string().contains("rank is 9, must be 1 to 8 for the 8 by 12"), "{error}");
    let error = model.set_training_options(options(2, &[])).unwrap_err();
    assert!(error.to_string().contains("no targets"), "{error}");
    model.set_training_options(options(2, &[Projection::K])).unwrap();
    let error = model.set_training_options(TrainingOptions::default()).unwrap_err();
    assert!(error.to_string().contains("once"), "adapters would become part of the base: {error}");
}

#[test]
fn a_base_in_bf16_takes_half_the_memory() {
    let frozen = |model: &Model<Reference>| {
        let lora = options(1, &[Projection::Up]).lora.unwrap();
        bytes_of_frozen(&*model.device, &model.weights, &lora.adapter).unwrap()
    };
    let mut model = tiny_model(Family::Llama, true);
    assert_eq!(frozen(&model), 4);
    for layer in 0..2 {
        let name = format!("model.layers.{layer}.mlp.up_proj.weight");
        let n = model.read(&name).unwrap().len();
        model.write(&name, &vec![1.5; n]).unwrap();
        assert_eq!(frozen(&model), if layer == 0 { 4 } else { 2 });
    }
}
