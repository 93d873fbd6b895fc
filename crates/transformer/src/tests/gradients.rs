//! Every gradient against float64 finite differences of a loss that is computed sequence by sequence,
//! without packing, sharing or caching.

use azr_plugin::{LossSpec, Quiet, Ratio, UpdateRequest};
use azr_weights::Family;

use super::{loss_spec, tiny_model, update_request};
use crate::device::{KeySpan, TokenTargets};
use crate::device::{Tensor, TensorMut};
use crate::forward::{Activations, Keep};
use crate::model::{Model, TrainingOptions};
use crate::reference::{Dense, Reference, Values, policy_loss, target_logprobs};
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
        let first = (sequence.prompt.len() - 1) * model.config.hidden_size;
        let states = Values(activations.norm.0[first..].to_vec());
        let targets = TokenTargets {
            targets: &sequence.response,
            behaviour_logprobs: &sequence.behaviour_logprobs,
            advantages: &sequence.advantages,
            weights: &sequence.weights,
        };
        let head = model.weights.head();
        sum += match request.loss.ratio {
            Ratio::Sequence => sequence_loss(&states, head, targets, &request.loss),
            Ratio::Token | Ratio::None => policy_loss(&states, head, targets, &request.loss),
        };
        if request.loss.kl_coef != 0.0 {
            let logprobs =
                target_logprobs(&states, head, &sequence.response, request.loss.temperature);
            let tokens = logprobs.iter().zip(&sequence.reference_logprobs).zip(&sequence.weights);
            for ((logprob, reference), weight) in tokens {
                let ratio = (f64::from(*reference) - logprob).exp();
                let divergence = ratio - 1.0 - ratio.ln();
                sum += f64::from(*weight) * f64::from(request.loss.kl_coef) * divergence;
            }
        }
    }
    sum
}

/// GSPO's loss of a response (arXiv 2507.18071, equation 5) with one advantage and one weight for all of its tokens,
/// whose mean over tokens becomes a sum of as many weights.
fn sequence_loss(states: &Values, head: &Dense, tokens: TokenTargets<'_>, loss: &LossSpec) -> f64 {
    let logprobs = target_logprobs(states, head, tokens.targets, loss.temperature);
    let n_tokens = logprobs.len() as f64;
    let behaviour: f64 = tokens.behaviour_logprobs.iter().map(|l| f64::from(*l)).sum();
    let ratio = ((logprobs.iter().sum::<f64>() - behaviour) / n_tokens).exp();
    let advantage = f64::from(tokens.advantages[0]);
    let (low, high) = (1.0 - f64::from(loss.clip_low), 1.0 + f64::from(loss.clip_high));
    let objective = f64::min(ratio * advantage, ratio.clamp(low, high) * advantage);
    let uniform = TokenTargets { advantages: &vec![0.0; tokens.targets.len()], ..tokens };
    let regularizers = LossSpec { ratio: Ratio::None, ..loss.clone() };
    policy_loss(states, head, uniform, &regularizers)
        - n_tokens * f64::from(tokens.weights[0]) * objective
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
    let request = update_request(&tiny_model(family, tied), loss, gaps);
    check_gradients_of(family, tied, &request, 1e-7);
}

fn check_gradients_of(family: Family, tied: bool, request: &UpdateRequest, tolerance: f64) {
    let mut model = tiny_model(family, tied);
    let gradients = update_gradients(&mut tiny_model(family, tied), request, 100);
    let step = 1e-5;
    for (tensor, gradient) in gradients.iter().enumerate() {
        let name = model.specs[tensor].name.clone();
        let mut largest = 0.0_f64;
        // Every third element meets every row and column of a matrix, at a third of the cost.
        for (element, &analytic) in gradient.iter().enumerate().step_by(3) {
            let value = values_mut(&mut model, tensor)[element];
            let mut loss_at = |value: f64| {
                values_mut(&mut model, tensor)[element] = value;
                plain_loss(&model, request)
            };
            let numeric = (loss_at(value + step) - loss_at(value - step)) / (2.0 * step);
            loss_at(value);
            assert!(
                (numeric - analytic).abs() < tolerance,
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

/// The same request with one advantage and one weight per response, as a ratio of whole responses is meant for.
fn uniform_request(loss: LossSpec, family: Family, gaps: &[f32]) -> UpdateRequest {
    let mut request = update_request(&tiny_model(family, true), loss, gaps);
    let advantages = [0.9, -0.6, 1.1, -1.2, 0.4];
    for (sequence, advantage) in request.sequences.iter_mut().zip(advantages) {
        sequence.advantages.fill(advantage);
        sequence.weights.fill(0.2 / sequence.response.len() as f32);
    }
    request
}

/// Coefficients pass through float32 on their way to the head, which is what the wider tolerance is for.
const COEFFICIENT_TOLERANCE: f64 = 1e-6;

#[test]
fn a_ratio_of_whole_responses() {
    // Ratios of the responses are 1.35, 0.61, 0.61, 1.1 and 0.89: the first, of a good one, and the second, of a bad one,
    // are clipped.
    let loss = LossSpec { ratio: Ratio::Sequence, temperature: 0.9, ..loss_spec() };
    let mut request = uniform_request(loss, Family::Llama, &[0.1]);
    for (sequence, gap) in request.sequences.iter_mut().zip([-0.4, 0.4, 0.4, -0.2, 0.02]) {
        sequence.behaviour_logprobs.iter_mut().for_each(|logprob| *logprob += gap);
    }
    check_gradients_of(Family::Llama, true, &request, COEFFICIENT_TOLERANCE);
    let report = tiny_model(Family::Llama, true).update(&request, 100, &Quiet).unwrap();
    assert_eq!(report.clip_fraction, 0.5, "{report:?}");
    let loss = plain_loss(&tiny_model(Family::Llama, true), &request);
    assert!((report.loss - loss).abs() < 1e-6, "{report:?} {loss}");
    // With an entropy bonus and a reference as well.
    request.loss.entropy_coef = 0.2;
    request.loss.kl_coef = 0.3;
    check_gradients_of(Family::Llama, true, &request, COEFFICIENT_TOLERANCE);
}

#[test]
fn a_divergence_from_a_reference() {
    for ratio in [Ratio::Token, Ratio::None] {
        let loss = LossSpec { ratio, kl_coef: 0.5, temperature: 1.2, ..loss_spec() };
        let request = update_request(&tiny_model(Family::Qwen2, false), loss, &[0.5, -0.05, -0.5]);
        check_gradients_of(Family::Qwen2, false, &request, COEFFICIENT_TOLERANCE);
        let mut model = tiny_model(Family::Qwen2, false);
        let report = model.update(&request, 100, &Quiet).unwrap();
        let of_gap = |gap: f64| gap.exp() - gap - 1.0;
        let expected = (5.0 * of_gap(0.4) + 4.0 * of_gap(-0.7)) / 14.0;
        assert!((report.kl - expected).abs() < 1e-5, "{report:?} {expected}");
        let loss = plain_loss(&tiny_model(Family::Qwen2, false), &request);
        assert!((report.loss - loss).abs() < 1e-6, "{report:?} {loss}");
    }
}

#[test]
fn on_policy_all_ratios_have_one_gradient() {
    let gradients = |ratio, kl_coef| {
        let loss = LossSpec { ratio, kl_coef, ..loss_spec() };
        let mut request = uniform_request(loss, Family::Llama, &[0.0]);
        for sequence in &mut request.sequences {
            sequence.reference_logprobs.clone_from(&sequence.behaviour_logprobs);
        }
        update_gradients(&mut tiny_model(Family::Llama, true), &request, 100)
    };
    let plain = gradients(Ratio::None, 0.0);
    // A reference that is the model itself pulls nowhere; its coefficient takes the way by coefficients.
    for (ratio, kl_coef) in [(Ratio::Token, 0.0), (Ratio::Sequence, 0.0), (Ratio::Token, 0.7)] {
        let other = gradients(ratio, kl_coef);
        for (a, b) in plain.iter().flatten().zip(other.iter().flatten()) {
            assert!((a - b).abs() < 1e-6, "{ratio:?} {kl_coef}: {a} {b}");
        }
    }
}

#[test]
fn without_advantages_nothing_is_learned() {
    for ratio in [Ratio::Token, Ratio::None, Ratio::Sequence] {
        let loss = LossSpec { ratio, ..loss_spec() };
        let mut request = uniform_request(loss, Family::Llama, &[0.3, -0.3]);
        request.sequences.iter_mut().for_each(|sequence| sequence.advantages.fill(0.0));
        let report = tiny_model(Family::Llama, true).update(&request, 100, &Quiet).unwrap();
        assert_eq!((report.grad_norm, report.loss, report.n_tokens), (0.0, 0.0, 0));
    }
}

#[test]
fn micro_batches_shared_prompts_and_the_order_of_sequences_change_nothing() {
    for (ratio, kl_coef) in [(Ratio::Token, 0.0), (Ratio::None, 0.0), (Ratio::Sequence, 0.2)] {
        let loss = LossSpec { ratio, kl_coef, entropy_coef: 0.1, ..loss_spec() };
        let fresh = || tiny_model(Family::Qwen2, true);
        let mut request = update_request(&fresh(), loss, &[0.1, -0.3]);
        let whole = update_gradients(&mut fresh(), &request, 1000);
        let mut others: Vec<Vec<Vec<f64>>> = [1, 6, 13]
            .into_iter()
            .map(|max_rows| update_gradients(&mut fresh(), &request, max_rows))
            .collect();
        request.sequences.rotate_left(2);
        request.sequences.swap(0, 1);
        others.push(update_gradients(&mut fresh(), &request, 1000));
        for other in others {
            for (whole, part) in whole.iter().flatten().zip(other.iter().flatten()) {
                assert!((whole - part).abs() < 1e-13, "{ratio:?}: {whole} {part}");
            }
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
