//! AdamW in float64: the reference that backends' optimizers are checked against.

use azr_plugin::OptimizerSpec;

/// Moments of every parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamwState {
    /// Steps taken so far.
    pub n_steps: u64,
    /// First moments.
    pub first: Vec<f64>,
    /// Second moments.
    pub second: Vec<f64>,
}

impl AdamwState {
    /// The state before the first step.
    pub fn new(n_parameters: usize) -> Self {
        Self { n_steps: 0, first: vec![0.0; n_parameters], second: vec![0.0; n_parameters] }
    }
}

/// One AdamW step (arXiv 1711.05101, algorithm 2, with PyTorch's convention of decay scaled by the learning
/// rate) over *all* parameters of a model; returns the global L2 norm of the gradient before clipping.
///
/// When the norm is above `max_grad_norm` (and that is not 0) the gradient is multiplied by `max_grad_norm / norm`.
/// A gradient that is not finite changes nothing. The slices and the state have the same length.
pub fn adamw_reference(
    parameters: &mut [f64],
    gradient: &[f64],
    state: &mut AdamwState,
    spec: &OptimizerSpec,
) -> f64 {
    let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    if !norm.is_finite() {
        return norm;
    }
    let max_norm = f64::from(spec.max_grad_norm);
    let scale = if max_norm > 0.0 && norm > max_norm { max_norm / norm } else { 1.0 };
    let (learning_rate, weight_decay) =
        (f64::from(spec.learning_rate), f64::from(spec.weight_decay));
    let (beta1, beta2, epsilon) =
        (f64::from(spec.beta1), f64::from(spec.beta2), f64::from(spec.epsilon));
    state.n_steps += 1;
    let correction1 = 1.0 - beta1.powf(state.n_steps as f64);
    let correction2 = 1.0 - beta2.powf(state.n_steps as f64);
    for (((parameter, &g), first), second) in
        parameters.iter_mut().zip(gradient).zip(&mut state.first).zip(&mut state.second)
    {
        let g = g * scale;
        *first = beta1 * *first + (1.0 - beta1) * g;
        *second = beta2 * *second + (1.0 - beta2) * g * g;
        *parameter -= learning_rate * weight_decay * *parameter;
        *parameter -=
            learning_rate * (*first / correction1) / ((*second / correction2).sqrt() + epsilon);
    }
    norm
}

#[cfg(test)]
mod tests {
    use azr_plugin::OptimizerKind;

    use super::*;

    fn spec() -> OptimizerSpec {
        OptimizerSpec {
            kind: OptimizerKind::Adamw,
            learning_rate: 0.125,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 0.0,
        }
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate() {
        let (mut parameters, mut state) = ([1.0, -2.0, 3.0], AdamwState::new(3));
        let norm = adamw_reference(&mut parameters, &[3.0, -4.0, 0.0], &mut state, &spec());
        assert_eq!(norm, 5.0);
        for (actual, expected) in parameters.iter().zip([0.875, -1.875, 3.0]) {
            assert!((actual - expected).abs() < 1e-8, "{parameters:?}");
        }
    }

    #[test]
    fn two_steps_by_hand() {
        // Gradients 1 and then 3: the bias-corrected moments are (0.1*0.9 + 0.3)/0.19 and (0.001*0.999 + 0.009)/0.001999.
        let (mut parameters, mut state) = ([0.0], AdamwState::new(1));
        adamw_reference(&mut parameters, &[1.0], &mut state, &spec());
        let after_one = parameters[0];
        adamw_reference(&mut parameters, &[3.0], &mut state, &spec());
        let expected = after_one - 0.125 * (0.39 / 0.19) / (0.009999_f64 / 0.001999).sqrt();
        assert!((parameters[0] - expected).abs() < 1e-6, "{} {expected}", parameters[0]);
    }

    #[test]
    fn clipping_scales_the_gradient_and_decay_is_decoupled() {
        let (mut parameters, mut state) = ([2.0], AdamwState::new(1));
        let spec = OptimizerSpec { max_grad_norm: 1.0, weight_decay: 0.5, ..spec() };
        assert_eq!(adamw_reference(&mut parameters, &[10.0], &mut state, &spec), 10.0);
        assert!((state.first[0] - 0.1).abs() < 1e-7, "the moment saw a gradient of norm 1");
        assert!((parameters[0] - (2.0 - 0.125 * 0.5 * 2.0 - 0.125)).abs() < 1e-6);
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let (mut parameters, mut state) = ([2.0, 1.0], AdamwState::new(2));
        assert!(adamw_reference(&mut parameters, &[f64::NAN, 1.0], &mut state, &spec()).is_nan());
        assert_eq!((parameters, state), ([2.0, 1.0], AdamwState::new(2)));
    }
}
