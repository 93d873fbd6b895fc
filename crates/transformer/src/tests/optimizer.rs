//! The steps of Muon, and what packed optimizer state changes in training.

use azr_plugin::{LossSpec, OptimizerKind, Quiet};
use azr_rl::{MuonStep, muon_reference};
use azr_weights::Family;

use super::{loss_spec, tiny_model, update_request};
use crate::reference::Reference;
use crate::{Model, Moment, StatePrecision, TrainingOptions};

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
    // Of the way that float32 state went, the part by which packed state ends elsewhere;
    // 0.003 and 0.03 when this was written.
    for (precision, tolerance) in [(StatePrecision::Bf16, 0.01), (StatePrecision::Int8, 0.06)] {
        let (packed, packed_loss) = trained(precision);
        let apart = norm(&packed, &exact) / moved;
        assert!(apart < tolerance, "{precision:?}: {apart} of the way");
        assert!(apart > 0.0, "{precision:?} is not in use");
        assert!(
            (packed_loss - loss).abs() < tolerance * loss.abs().max(1.0),
            "{packed_loss} {loss}"
        );
    }
}

#[test]
fn hidden_matrices_take_the_steps_of_muon() {
    let mut model = tiny_model(Family::Qwen2, false);
    let names: Vec<String> = model.parameters().iter().map(|spec| spec.name.clone()).collect();
    let shapes: Vec<Vec<usize>> =
        model.parameters().iter().map(|spec| spec.shape.clone()).collect();
    let mut request = update_request(&model, loss_spec(), &[0.0]);
    request.optimizer.kind = OptimizerKind::Muon;
    let step = MuonStep { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.1 };
    let read = |model: &Model<Reference>, name: &str| -> Vec<f64> {
        model.read(name).unwrap().into_iter().map(f64::from).collect()
    };
    let mut expected: Vec<Vec<f64>> = names.iter().map(|name| read(&model, name)).collect();
    let mut momentum: Vec<Vec<f64>> = expected.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut adamw = tiny_model(Family::Qwen2, false);
    for n_steps in 1..=3 {
        assert!(model.update(&request, 100, &Quiet).unwrap().applied);
        for (index, name) in names.iter().enumerate() {
            let is_hidden = name.contains("_proj.weight");
            let second = model.read_moment(name, Moment::Second).unwrap();
            assert_eq!(second.is_none(), is_hidden, "{name}");
            if !is_hidden {
                continue;
            }
            let gradient = model.read_gradient(name).unwrap().unwrap();
            let gradient: Vec<f64> = gradient.into_iter().map(f64::from).collect();
            let shape = (shapes[index][0], shapes[index][1]);
            muon_reference(&mut expected[index], &gradient, &mut momentum[index], shape, step);
            for (found, expected) in read(&model, name).iter().zip(&expected[index]) {
                assert!(
                    (found - expected).abs() < 1e-5 * f64::from(n_steps),
                    "{name}: {found} {expected}"
                );
            }
        }
        if n_steps == 1 {
            request.optimizer.kind = OptimizerKind::Adamw;
            adamw.update(&request, 100, &Quiet).unwrap();
            request.optimizer.kind = OptimizerKind::Muon;
            for name in names.iter().filter(|name| !name.contains("_proj.weight")) {
                assert_eq!(model.read(name).unwrap(), adamw.read(name).unwrap(), "{name}");
            }
        }
    }
    assert_eq!(model.optimizer_kind(), OptimizerKind::Muon);
    // Another kind begins anew.
    request.optimizer.kind = OptimizerKind::Adamw;
    model.update(&request, 100, &Quiet).unwrap();
    assert_eq!((model.n_steps(), model.optimizer_kind()), (1, OptimizerKind::Adamw));
}

#[test]
fn optimizer_state_stays_until_that_of_another_kind_is_there() {
    let mut model = tiny_model(Family::Llama, true);
    let mut request = update_request(&model, LossSpec::default(), &[0.0]);
    model.update(&request, 100, &Quiet).unwrap();
    model.free_memory = Some(std::sync::Arc::new(|| Some(1000)));
    request.optimizer.kind = OptimizerKind::Muon;
    model.update(&request, 100, &Quiet).unwrap_err();
    assert_eq!((model.n_steps(), model.optimizer_kind()), (1, OptimizerKind::Adamw));
}
