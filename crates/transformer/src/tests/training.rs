//! The optimizer step, what is skipped, and what is reported.

use azr_plugin::{
    CallContext, LossSpec, OptimizerKind, OptimizerSpec, Quiet, Ratio, UpdateBounds, UpdateRequest,
};
use azr_rl::{AdamwState, adamw_reference};
use azr_weights::Family;

use super::{loss_spec, tiny_model, update_request};
use crate::reference::Reference;
use crate::{Model, Moment, TransformerError};

fn names(model: &Model<Reference>) -> Vec<String> {
    model.parameters().iter().map(|spec| spec.name.clone()).collect()
}

fn weights(model: &Model<Reference>) -> Vec<Vec<f32>> {
    names(model).iter().map(|name| model.read(name).unwrap()).collect()
}

/// A copy by way of what is saved.
fn reload(model: &Model<Reference>) -> Model<Reference> {
    let mut copy = Model::load::<TransformerError>(
        model.device().clone(),
        model.config().clone(),
        None,
        |name| model.read(name),
    )
    .unwrap();
    copy.load_optimizer::<TransformerError>(model.optimizer_kind(), model.n_steps(), |name| {
        let (name, moment) = match name.strip_suffix(".m") {
            Some(name) => (name, Moment::First),
            None => (name.strip_suffix(".v").unwrap(), Moment::Second),
        };
        Ok(model.read_moment(name, moment)?.unwrap())
    })
    .unwrap();
    copy
}

#[test]
fn steps_are_adamw_without_decay_of_gains_and_biases() {
    let mut model = tiny_model(Family::Qwen2, false);
    let mut request = update_request(&model, loss_spec(), &[0.0]);
    let max_grad_norm = 0.05;
    request.optimizer.max_grad_norm = max_grad_norm;
    let mut expected: Vec<Vec<f64>> =
        weights(&model).into_iter().map(|w| w.into_iter().map(f64::from).collect()).collect();
    let mut states: Vec<AdamwState> = expected.iter().map(|w| AdamwState::new(w.len())).collect();
    for _ in 0..3 {
        let report = model.update(&request, 100, &Quiet).unwrap();
        assert!(report.applied && report.grad_norm > f64::from(max_grad_norm));
        for (i, name) in names(&model).iter().enumerate() {
            let is_matrix = model.parameters()[i].shape.len() == 2;
            let weight_decay = if is_matrix { request.optimizer.weight_decay } else { 0.0 };
            let spec =
                OptimizerSpec { weight_decay, max_grad_norm: 0.0, ..request.optimizer.clone() };
            let scale = f64::from(max_grad_norm) / report.grad_norm;
            let gradient: Vec<f64> = model
                .read_gradient(name)
                .unwrap()
                .unwrap()
                .iter()
                .map(|&g| f64::from(g) * scale)
                .collect();
            adamw_reference(&mut expected[i], &gradient, &mut states[i], &spec);
            for (found, expected) in model.read(name).unwrap().iter().zip(&expected[i]) {
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{name}: {found} {expected}");
            }
        }
    }
    assert_eq!(model.n_steps(), 3);
}

#[test]
fn learning_lowers_the_loss() {
    let mut model = tiny_model(Family::Llama, true);
    let request =
        update_request(&model, LossSpec { clip_high: 9.0, clip_low: 1.0, ..loss_spec() }, &[0.0]);
    let losses: Vec<f64> =
        (0..4).map(|_| model.update(&request, 100, &Quiet).unwrap().loss).collect();
    assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{losses:?}");
}

#[test]
fn without_a_ratio_nobody_asks_who_sampled_the_text() {
    let mut model = tiny_model(Family::Llama, true);
    let mut request = update_request(&model, loss_spec(), &[0.3]);
    request.loss.ratio = Ratio::None;
    for sequence in &mut request.sequences {
        sequence.advantages.fill(1.0);
        sequence.weights.fill(1.0 / 14.0);
    }
    let logprobs = request.sequences.iter().flat_map(|s| &s.behaviour_logprobs);
    let cross_entropy = -logprobs.map(|l| f64::from(*l) - 0.3).sum::<f64>() / 14.0;
    let mut other = tiny_model(Family::Llama, true);
    let known = other.update(&request, 100, &Quiet).unwrap();
    for sequence in &mut request.sequences {
        sequence.behaviour_logprobs.clear();
    }
    let unknown = model.update(&request, 100, &Quiet).unwrap();
    assert!((unknown.loss - cross_entropy).abs() < 1e-6, "{unknown:?} {cross_entropy}");
    assert_eq!((unknown.logprob_gap_max, unknown.clip_fraction), (0.0, 0.0));
    assert!((known.logprob_gap_max - 0.3).abs() < 1e-6, "{known:?}");
    assert_eq!(weights(&model), weights(&other));
    request.loss.ratio = Ratio::Token;
    let message = model.update(&request, 100, &Quiet).unwrap_err().to_string();
    assert!(message.contains("0 behaviour_logprobs for 3"), "{message}");
}

#[test]
fn the_report_counts_what_was_trained() {
    let mut model = tiny_model(Family::Llama, true);
    let mut request = update_request(&model, loss_spec(), &[0.0, 0.5]);
    // The second sequence loses its advantages and is not computed.
    request.sequences[1].advantages.fill(0.0);
    request.sequences[1].behaviour_logprobs.fill(-50.0);
    let report = model.update(&request, 100, &Quiet).unwrap();
    assert_eq!(report.n_tokens, 3 + 1 + 2 + 4);
    assert!((report.logprob_gap_max - 0.5).abs() < 1e-6, "{report:?}");
    assert!(report.logprob_gap_mean > 0.1 && report.logprob_gap_mean < 0.4);
    assert!(report.entropy > 1.0 && report.entropy < 17_f64.ln());
    let n_clipped = request
        .sequences
        .iter()
        .enumerate()
        .filter(|(i, _)| *i != 1)
        .flat_map(|(i, s)| {
            let first = [0, 3, 7, 8, 10][i];
            // A gap of 0.5 makes the ratio 0.61, which clips bad tokens only.
            s.advantages.iter().enumerate().filter(move |&(j, &a)| (first + j) % 2 == 1 && a < 0.0)
        })
        .count();
    assert!(n_clipped > 0);
    assert!((report.clip_fraction - n_clipped as f64 / 10.0).abs() < 1e-12, "{report:?}");

    // With an entropy bonus everything counts.
    request.loss.entropy_coef = 0.1;
    assert_eq!(model.update(&request, 100, &Quiet).unwrap().n_tokens, 14);
}

#[test]
fn training_goes_on_from_saved_state_to_the_bit() {
    // The reference device holds float64 and saves float32; both copies go through the same rounding.
    let mut model = tiny_model(Family::Qwen2, true);
    let request = update_request(&model, loss_spec(), &[0.0]);
    model.update(&request, 100, &Quiet).unwrap();
    let (mut a, mut b) = (reload(&model), reload(&model));
    assert_eq!(a.n_steps(), 1);
    a.update(&request, 100, &Quiet).unwrap();
    b.update(&request, 100, &Quiet).unwrap();
    assert_eq!(weights(&a), weights(&b));
    let mut fresh = reload(&model);
    fresh.load_optimizer::<TransformerError>(OptimizerKind::Adamw, 0, |_| unreachable!()).unwrap();
    fresh.update(&request, 100, &Quiet).unwrap();
    assert_ne!(weights(&a), weights(&fresh));
}

#[test]
fn a_gradient_that_is_not_finite_leaves_the_weights() {
    let mut model = tiny_model(Family::Llama, true);
    let request = update_request(&model, loss_spec(), &[0.0]);
    let mut gains = model.read("model.norm.weight").unwrap();
    gains[3] = f32::NAN;
    model.write("model.norm.weight", &gains).unwrap();
    let before = weights(&model);
    let report = model.update(&request, 100, &Quiet).unwrap();
    assert!(!report.applied && !report.grad_norm.is_finite());
    assert_eq!(model.n_steps(), 0);
    let bits = |w: &[Vec<f32>]| w.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&before), bits(&weights(&model)));
}

#[test]
fn an_update_outside_its_bounds_changes_nothing() {
    let unbounded = UpdateBounds::default();
    for (bounds, is_applied) in [
        (UpdateBounds { grad_norm_max: 1e9, ..unbounded }, true),
        (UpdateBounds { grad_norm_max: 1e-9, ..unbounded }, false),
        (UpdateBounds { loss_min: 1e9, ..unbounded }, false),
        (UpdateBounds { loss_max: -1e9, ..unbounded }, false),
    ] {
        let mut model = tiny_model(Family::Llama, true);
        let before = weights(&model);
        let request = update_request(&model, loss_spec(), &[0.3]);
        let report = model.update(&UpdateRequest { bounds, ..request }, 100, &Quiet).unwrap();
        assert!(report.grad_norm > 0.0 && report.loss.is_finite());
        assert_eq!((report.applied, model.n_steps()), (is_applied, u64::from(is_applied)));
        assert_eq!(before == weights(&model), !is_applied, "{bounds:?}");
    }
}

type Spoil = fn(&mut UpdateRequest);

#[test]
fn requests_that_make_no_sense_are_refused() {
    let mut model = tiny_model(Family::Llama, true);
    let good = update_request(&model, loss_spec(), &[0.0]);
    let cases: [(Spoil, &str); 9] = [
        (|r| r.sequences[0].prompt.clear(), "no tokens"),
        (|r| r.sequences[0].response[0] = 17, "vocabulary"),
        (|r| r.sequences[0].prompt = vec![1; 38], "context"),
        (|r| r.sequences[2].weights.clear(), "sequence 2 has 0 weights for 1"),
        (|r| r.sequences[2].advantages[0] = f32::NAN, "not finite"),
        (|r| r.optimizer.beta2 = 1.0, "beta2 cannot be 1"),
        (|r| r.loss.temperature = 0.0, "temperature cannot be 0"),
        (|r| r.loss.kl_coef = -0.1, "kl_coef cannot be -0.1"),
        (
            |r| {
                r.loss.kl_coef = 0.1;
                r.sequences[1].reference_logprobs.clear();
            },
            "sequence 1 has 0 reference_logprobs for 4",
        ),
    ];
    for (spoil, expected) in cases {
        let mut request = good.clone();
        spoil(&mut request);
        let message = model.update(&request, 100, &Quiet).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(model.n_steps(), 0);
}

#[test]
fn a_cancelled_update_changes_nothing() {
    struct Cancelled;
    impl CallContext for Cancelled {
        fn progress(&self, _done: u64, _total: u64) {}
        fn is_cancelled(&self) -> bool {
            true
        }
    }
    let mut model = tiny_model(Family::Llama, true);
    let request = update_request(&model, loss_spec(), &[0.0]);
    let before = weights(&model);
    assert!(matches!(model.update(&request, 100, &Cancelled), Err(TransformerError::Cancelled)));
    assert_eq!(before, weights(&model));
    // What was accumulated before is not part of the next update.
    model.update(&request, 100, &Quiet).unwrap();
    let mut other = tiny_model(Family::Llama, true);
    other.update(&request, 100, &Quiet).unwrap();
    assert_eq!(weights(&model), weights(&other));
}
