//! What packed optimizer state changes in training.

use azr_plugin::{LossSpec, Quiet};
use azr_weights::Family;

use super::{loss_spec, tiny_model, update_request};
use crate::{StatePrecision, TrainingOptions};

const N_STEPS: usize = 40;

/// All weights after [`N_STEPS`] updates with a long memory, and the last loss.
fn trained(optimizer_state: StatePrecision) -> (Vec<f64>, f64) {
    let mut model = tiny_model(Family::Llama, true);
    model
        .set_training_options(TrainingOptions { optimizer_state, ..TrainingOptions::default() })
        .unwrap();
    let loss = LossSpec { clip_high: 90.0, clip_low: 1.0, ..loss_spec() };
    let mut request = update_request(&model, loss, &[0.0]);
    request.optimizer.beta2 = 0.999;
    request.optimizer.learning_rate = 1e-3;
    let mut last = 0.0;
    for _ in 0..N_STEPS {
        last = model.update(&request, 100, &Quiet).unwrap().loss;
    }
    let names: Vec<String> = model.parameters().iter().map(|spec| spec.name.clone()).collect();
    let weights = names.iter().flat_map(|name| model.read(name).unwrap());
    (weights.map(f64::from).collect(), last)
}

#[test]
fn packed_state_trains_as_float32_does() {
    let start = tiny_model(Family::Llama, true);
    let names = start.parameters().iter().map(|spec| spec.name.clone());
    let start: Vec<f64> =
        names.flat_map(|name| start.read(&name).unwrap()).map(f64::from).collect();
    let norm =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    let (exact, loss) = trained(StatePrecision::F32);
    let moved = norm(&exact, &start);
    assert!(moved > 0.1, "{moved}");
    // Of the way that float32 state went, the part by which packed state ends elsewhere.
    for (precision, tolerance) in [(StatePrecision::Bf16, 0.01), (StatePrecision::Int8, 0.06)] {
        let (packed, packed_loss) = trained(precision);
        let apart = norm(&packed, &exact) / moved;
        eprintln!("{precision:?} {apart} {packed_loss} {loss}");
        assert!(apart < tolerance, "{precision:?}: {apart} of the way");
        assert!(apart > 0.0, "{precision:?} is not in use");
        assert!(
            (packed_loss - loss).abs() < tolerance * loss.abs().max(1.0),
            "{packed_loss} {loss}"
        );
    }
}
