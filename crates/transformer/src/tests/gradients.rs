//! Every gradient against float64 finite differences of a loss that is computed sequence by sequence,
//! without packing, sharing or caching.

use azr_plugin::{LossSpec, Quiet, Ratio, UpdateRequest};
use azr_weights::Family;

use super::{loss_spec, tiny_model, update_request};
use crate::device::{KeySpan, TokenTargets};
use crate::forward::{Activations, Keep};
use crate::model::{Model, TrainingOptions};
use crate::parameters::{Tensor, TensorMut};
use crate::reference::{Reference, Values, policy_loss};
use crate::rows::PackedRows;

/// The loss of an update, one plain sequence at a time.
pub(super) fn plain_loss(model: &Model<Reference>, request: &UpdateRequest) -> f64 {
    let mut sum = 0.0;
    for sequence in &request.sequences {
        let tokens = [&sequence.prompt[..], &sequence.response].concat();
        let mut rows = PackedRows::default();
        rows.push(&tokens, 0, KeySpan::default(), KeySpan { start: 0, len: tokens.len() });
        let mut activations = Activations::new(model, tokens.len(), Keep::Nothing).unwrap();
        model.forward(&rows.all_final(), &mut activations, None, &Quiet).unwrap();
        model.final_states(tokens.len(), &mut activations).unwrap();
        let first = (sequence.prompt.len() - 1) * model.config.hidden_size;
        let states = Values(activations.norm.0[first..].to_vec());
        let targets = TokenTargets {
            targets: &sequence.response,
            behaviour_logprobs: &sequence.behaviour_logprobs,
            advantages: &sequence.advantages,
            weights: &sequence.weights,
        };
        sum += policy_loss(&states, model.weights.head(), targets, &request.loss);
    }
    sum
}

fn values_mut(model: &mut Model<Reference>, tensor: usize) -> &mut Vec<f64> {
    match model.weights.tensors_mut().swap_remove(tensor) {
        TensorMut::Vector(vector) => &mut vector.0,
        TensorMut::Matrix(matrix) => &mut matrix.values,
    }
}

/// Gradients that an update accumulates, in float64.
fn update_gradients(
    model: &mut Model<Reference>,
    request: &UpdateRequest,
    max_rows: usize,
) -> Vec<Vec<f64>> {
    model.update(request, max_rows, &Quiet).unwrap();
    let tensors = model.training.as_ref().unwrap().gradients.tensors();
    tensors
        .iter()
        .map(|tensor| match tensor {
            Tensor::Vector(vector) => vector.0.clone(),
            Tensor::Matrix(matrix) => matrix.values.clone(),
        })
        .collect()
}

fn check_gradients(family: Family, tied: bool, loss: LossSpec, gaps: &[f32]) {
    let mut model = tiny_model(family, tied);
    let request = update_request(&model, loss, gaps);
    let gradients = update_gradients(&mut tiny_model(family, tied), &request, 100);
    let step = 1e-5;
    for (tensor, gradient) in gradients.iter().enumerate() {
        let name = model.specs[tensor].name.clone();
        let mut largest = 0.0_f64;
        // Every third element meets every row and column of a matrix, at a third of the cost.
        for (element, &analytic) in gradient.iter().enumerate().step_by(3) {
            let value = values_mut(&mut model, tensor)[element];
            let mut loss_at = |value: f64| {
                values_mut(&mut model, tensor)[element] = value;
                plain_loss(&model, &request)
            };
            let numeric = (loss_at(value + step) - loss_at(value - step)) / (2.0 * step);
            loss_at(value);
            assert!(
                (numeric - analytic).abs() < 1e-7,
                "{name}[{element}]: {analytic}, should be {numeric}"
            );
            largest = largest.max(analytic.abs());
        }
        assert!(largest > 1e-4, "{name} has no gradient to compare");
    }
}

#[test]
fn llama_tied_with_entropy_bonus() {
    let loss = LossSpec { entropy_coef: 0.3, temperature: 0.8, ..loss_spec() };
    check_gradients(Family::Llama, true, loss, &[0.05, -0.1]);
}

#[test]
fn qwen2_untied_with_clipping() {
    // Ratios of 0.61, 1.05 and 1.65: below, inside and above the clip range.
    check_gradients(Family::Qwen2, false, loss_spec(), &[0.5, -0.05, -0.5]);
}

#[test]
fn llama_untied_and_qwen2_tied_on_policy() {
    check_gradients(Family::Llama, false, loss_spec(), &[0.01]);
    let loss = LossSpec { dual_clip: Some(1.5), temperature: 1.3, ..loss_spec() };
    check_gradients(Family::Qwen2, true, loss, &[-0.6, 0.02]);
}

#[test]
fn llama_tied_without_a_ratio() {
    let loss = LossSpec { ratio: Ratio::None, entropy_coef: 0.2, temperature: 0.9, ..loss_spec() };
    check_gradients(Family::Llama, true, loss, &[-2.0, 2.0]);
}

#[test]
fn micro_batches_and_shared_prompts_change_nothing() {
    let loss = LossSpec { entropy_coef: 0.1, ..loss_spec() };
    let fresh = || tiny_model(Family::Qwen2, true);
    let request = update_request(&fresh(), loss, &[0.1, -0.3]);
    let whole = update_gradients(&mut fresh(), &request, 1000);
    for max_rows in [1, 6, 13] {
        let parts = update_gradients(&mut fresh(), &request, max_rows);
        for (whole, part) in whole.iter().flatten().zip(parts.iter().flatten()) {
            assert!((whole - part).abs() < 1e-13, "{whole} {part}");
        }
    }
}

#[test]
fn gradients_are_the_same_to_the_bit_when_only_inputs_of_layers_are_kept() {
    let loss = LossSpec { entropy_coef: 0.1, ..loss_spec() };
    for family in [Family::Llama, Family::Qwen2] {
        let request = update_request(&tiny_model(family, false), loss.clone(), &[0.1, -0.3]);
        let gradients = |gradient_checkpointing| {
            let mut model = tiny_model(family, false);
            let options = TrainingOptions { gradient_checkpointing, ..TrainingOptions::default() };
            model.set_training_options(options).unwrap();
            update_gradients(&mut model, &request, 13)
        };
        assert_eq!(gradients(true), gradients(false));
    }
}
