//! Muon in float64: the reference that the transformer's optimizer is checked against.

/// Coefficients of the Newton–Schulz iteration.
pub const NEWTON_SCHULZ: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
/// Its number of steps.
pub const NEWTON_SCHULZ_STEPS: usize = 5;

/// What the orthogonal factor of a `[n_out, n_in]` matrix is multiplied by: `0.2 * sqrt(max(n_out, n_in))`
/// (arXiv 2502.16982, equation 4). A step then moves values as far as one of AdamW, so that both take the same
/// learning rate and weight decay.
pub fn muon_scale(n_out: usize, n_in: usize) -> f64 {
    0.2 * (n_out.max(n_in) as f64).sqrt()
}

/// Hyper-parameters of one Muon step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the running mean.
    pub momentum: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// One step of Muon (K. Jordan, <https://kellerjordan.github.io/posts/muon/>) on a row-major `[n_out, n_in]` matrix:
/// `m = b m + (1 - b) g`, `u = b m + (1 - b) g` (Nesterov), and a move along the nearly orthogonal factor of `u`.
pub fn muon_reference(
    parameters: &mut [f64],
    gradient: &[f64],
    momentum: &mut [f64],
    (n_out, n_in): (usize, usize),
    step: MuonStep,
) {
    let mut update = vec![0.0; gradient.len()];
    for ((update, momentum), &g) in update.iter_mut().zip(momentum).zip(gradient) {
        *momentum = step.momentum * *momentum + (1.0 - step.momentum) * g;
        *update = step.momentum * *momentum + (1.0 - step.momentum) * g;
    }
    let at = |row: usize, column: usize| {
        if n_out <= n_in { row * n_in + column } else { column * n_in + row }
    };
    let (n_rows, n_columns) = (n_out.min(n_in), n_out.max(n_in));
    let norm = update.iter().map(|u| u * u).sum::<f64>().sqrt() + 1e-7;
    let mut x: Vec<Vec<f64>> = (0..n_rows)
        .map(|row| (0..n_columns).map(|column| update[at(row, column)] / norm).collect())
        .collect();
    let (a, b, c) = NEWTON_SCHULZ;
    for _ in 0..NEWTON_SCHULZ_STEPS {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let gram: Vec<Vec<f64>> =
            x.iter().map(|row| x.iter().map(|other| dot(row, other)).collect()).collect();
        x = (0..n_rows)
            .map(|row| {
                let mut next: Vec<f64> = x[row].iter().map(|x| a * x).collect();
                for (k, other) in x.iter().enumerate() {
                    // The Gram matrix is symmetric.
                    let factor = b * gram[row][k] + c * dot(&gram[row], &gram[k]);
                    next.iter_mut().zip(other).for_each(|(next, x)| *next += factor * x);
                }
                next
            })
            .collect();
    }
    let rate = step.learning_rate * muon_scale(n_out, n_in);
    for (row, values) in x.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            let parameter = &mut parameters[at(row, column)];
            *parameter -= step.learning_rate * step.weight_decay * *parameter + rate * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        n_out: usize,
        n_in: usize,
        learning_rate: f64,
        momentum: f64,
        weight_decay: f64,
        parameters: Vec<f64>,
        gradients: Vec<Vec<f64>>,
        expected: Vec<f64>,
        expected_momentum: Vec<f64>,
    }

    #[test]
    fn steps_are_those_of_the_script() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../tests/data/muon.json")).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let Case { n_out, n_in, learning_rate, momentum, weight_decay, .. } = case;
            let step = MuonStep { learning_rate, momentum, weight_decay };
            let (mut p, mut m) = (case.parameters, vec![0.0; n_out * n_in]);
            for gradient in &case.gradients {
                muon_reference(&mut p, gradient, &mut m, (n_out, n_in), step);
            }
            for (found, expected) in p.iter().zip(&case.expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
            for (found, expected) in m.iter().zip(&case.expected_momentum) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        }
    }
}
