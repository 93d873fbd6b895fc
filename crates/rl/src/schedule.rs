//! Learning-rate schedules.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate moves once warm-up is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It falls to 0 along a line.
    Linear,
    /// It falls to 0 along half a cosine (arXiv 1608.03983 without restarts).
    Cosine,
}

/// The factor in \[0, 1\] by which the peak learning rate is multiplied at update `step` (0-based).
///
/// During the first `warmup_steps` updates it rises in equal steps to 1: update 0 already moves by
/// `1 / warmup_steps`. Then it follows `schedule` and reaches 0 at `total_steps`.
pub fn learning_rate_factor(
    schedule: Schedule,
    step: u64,
    warmup_steps: u64,
    total_steps: u64,
) -> f64 {
    if step < warmup_steps {
        return (step + 1) as f64 / warmup_steps as f64;
    }
    let span = total_steps.saturating_sub(warmup_steps).max(1) as f64;
    let progress = ((step - warmup_steps) as f64 / span).min(1.0);
    match schedule {
        Schedule::Constant => 1.0,
        Schedule::Linear => 1.0 - progress,
        Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warm_up_rises_to_the_peak() {
        let factors: Vec<f64> =
            (0..5).map(|step| learning_rate_factor(Schedule::Constant, step, 4, 0)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0]);
    }

    #[test]
    fn decays_reach_zero_at_the_end_and_stay_there() {
        let linear: Vec<f64> =
            [2, 7, 12, 99].map(|step| learning_rate_factor(Schedule::Linear, step, 2, 12)).into();
        assert_eq!(linear, [1.0, 0.5, 0.0, 0.0]);
        let cosine = [2, 7, 12, 99].map(|step| learning_rate_factor(Schedule::Cosine, step, 2, 12));
        for (actual, expected) in cosine.iter().zip([1.0, 0.5, 0.0, 0.0]) {
            assert!((actual - expected).abs() < 1e-12, "{cosine:?}");
        }
    }

    #[test]
    fn odd_spans_do_not_divide_by_zero() {
        assert_eq!(learning_rate_factor(Schedule::Linear, 5, 5, 5), 1.0);
        assert_eq!(learning_rate_factor(Schedule::Linear, 6, 5, 5), 0.0);
        assert_eq!(learning_rate_factor(Schedule::Cosine, 0, 0, 0), 1.0);
    }
}
