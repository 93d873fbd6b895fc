//! Advantage estimators: from the rewards of a step to one advantage per rollout.
//!
//! A response earns one reward at its end and is not discounted, so all its tokens have the same return
//! and therefore the same advantage: one number per rollout is enough.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::RlError;

/// Added to the variance before its root is taken, as in the reference implementation of TRR++.
const VARIANCE_EPSILON: f64 = 1e-8;

/// How rewards become advantages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// TRR++ as published in code (Absolute Zero, arXiv 2505.03335): within each group (domain, task kind,
    /// role), rewards are whitened over *tokens*, so long responses weigh more in the baseline.
    #[default]
    TokenWhitening,
    /// TRR++ as published on paper (equation 8): z-score over the *responses* of each group.
    SequenceZScore,
    /// REINFORCE++ (arXiv 2501.03262): one baseline for the whole step, whitened over tokens.
    Global,
    /// GRPO (arXiv 2402.03300): z-score over the responses to one prompt; a prompt with one response learns nothing.
    PromptRelative,
}

/// What an estimator needs to know about one rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollout {
    /// Number of its (domain, task kind, role) group.
    pub group: u32,
    /// Number of its prompt; rollouts of one prompt share it.
    pub prompt: u32,
    /// Reward of the whole response.
    pub reward: f32,
    /// Response tokens, at least 1.
    pub n_tokens: u32,
}

/// A baseline: what was subtracted and divided by.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Baseline {
    /// Weighted mean.
    pub mean: f64,
    /// Unbiased standard deviation; 0 when all values were equal.
    pub std: f64,
}

/// What an estimator makes of one rollout.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Advantage {
    /// Advantage of each of the rollout's tokens.
    pub value: f64,
    /// The baseline it was measured against.
    pub baseline: Baseline,
}

/// Advantage of each rollout, in rollout order.
///
/// A baseline whose rewards are all equal gives advantages of exactly 0.
///
/// # Errors
/// A reward that is not finite, or a rollout without tokens.
pub fn advantages(estimator: Estimator, rollouts: &[Rollout]) -> Result<Vec<Advantage>, RlError> {
    check(rollouts)?;
    let mut members: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (index, rollout) in rollouts.iter().enumerate() {
        let baseline = match estimator {
            Estimator::TokenWhitening | Estimator::SequenceZScore => (rollout.group, 0),
            Estimator::Global => (0, 0),
            Estimator::PromptRelative => (rollout.group, rollout.prompt),
        };
        members.entry(baseline).or_default().push(index);
    }
    let mut result = vec![Advantage::default(); rollouts.len()];
    for indices in members.values() {
        let values = indices.iter().map(|&index| {
            let rollout = rollouts[index];
            let weight = match estimator {
                Estimator::TokenWhitening | Estimator::Global => f64::from(rollout.n_tokens),
                Estimator::SequenceZScore | Estimator::PromptRelative => 1.0,
            };
            (f64::from(rollout.reward), weight)
        });
        let values: Vec<(f64, f64)> = values.collect();
        let baseline = baseline(&values);
        for (&index, (reward, _)) in indices.iter().zip(values) {
            result[index] = Advantage { value: whiten(reward, baseline), baseline };
        }
    }
    Ok(result)
}

/// Mean and unbiased standard deviation of `(value, weight)` pairs, where a weight counts how often the value occurs.
///
/// The deviation is exactly 0 when all values are equal, when there are none, and when the weights sum to 1 or less.
pub fn baseline(values: &[(f64, f64)]) -> Baseline {
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let Some(&(first, _)) = values.first() else { return Baseline::default() };
    // Rounding could make the mean of equal values differ from them, and the division would blow that up.
    if total <= 1.0 || values.iter().all(|(value, _)| *value == first) {
        return Baseline { mean: first, std: 0.0 };
    }
    let mean = values.iter().map(|(value, weight)| value * weight).sum::<f64>() / total;
    let squares: f64 = values.iter().map(|(value, weight)| weight * (value - mean).powi(2)).sum();
    Baseline { mean, std: (squares / (total - 1.0)).sqrt() }
}

fn whiten(reward: f64, baseline: Baseline) -> f64 {
    if baseline.std == 0.0 {
        0.0
    } else {
        (reward - baseline.mean) / (baseline.std.powi(2) + VARIANCE_EPSILON).sqrt()
    }
}

fn check(rollouts: &[Rollout]) -> Result<(), RlError> {
    for (index, rollout) in rollouts.iter().enumerate() {
        if !rollout.reward.is_finite() {
            return Err(RlError::RewardNotFinite { index, reward: rollout.reward });
        }
        if rollout.n_tokens == 0 {
            return Err(RlError::EmptyRollout { index });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::FRAC_1_SQRT_2;

    use proptest::prelude::*;

    use super::*;

    const ALL: [Estimator; 4] = [
        Estimator::TokenWhitening,
        Estimator::SequenceZScore,
        Estimator::Global,
        Estimator::PromptRelative,
    ];

    fn rollout(group: u32, prompt: u32, reward: f32, n_tokens: u32) -> Rollout {
        Rollout { group, prompt, reward, n_tokens }
    }

    fn values(estimator: Estimator, rollouts: &[Rollout]) -> Result<Vec<f64>, RlError> {
        Ok(advantages(estimator, rollouts)?.into_iter().map(|advantage| advantage.value).collect())
    }

    fn assert_close(actual: &[f64], expected: &[f64]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 5e-5, "{actual:?} is not {expected:?}");
        }
    }

    #[test]
    fn published_vectors() {
        let two = [rollout(0, 0, 1.0, 2), rollout(0, 1, -0.5, 1)];
        assert_close(&values(Estimator::TokenWhitening, &two).unwrap(), &[0.5774, -1.1547]);
        assert_close(
            &values(Estimator::SequenceZScore, &two).unwrap(),
            &[FRAC_1_SQRT_2, -FRAC_1_SQRT_2],
        );
        assert_eq!(values(Estimator::PromptRelative, &two).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn groups_do_not_see_each_other_unless_the_baseline_is_global() {
        let rollouts = [
            rollout(0, 0, 1.0, 3),
            rollout(0, 1, 1.0, 5),
            rollout(1, 2, -1.0, 4),
            rollout(1, 3, -1.0, 4),
        ];
        assert_eq!(values(Estimator::TokenWhitening, &rollouts).unwrap(), [0.0; 4]);
        let global = values(Estimator::Global, &rollouts).unwrap();
        assert!(global[0] > 0.9 && global[0] == global[1] && global[2] < -0.9);
    }

    #[test]
    fn prompts_are_told_apart_within_their_group() {
        let rollouts = [
            rollout(0, 7, 1.0, 1),
            rollout(0, 7, 0.0, 1),
            rollout(1, 7, 5.0, 1),
            rollout(1, 7, 5.0, 9),
        ];
        assert_close(
            &values(Estimator::PromptRelative, &rollouts).unwrap(),
            &[FRAC_1_SQRT_2, -FRAC_1_SQRT_2, 0.0, 0.0],
        );
    }

    #[test]
    fn one_token_and_no_rollouts_are_fine() {
        for estimator in ALL {
            assert_eq!(values(estimator, &[rollout(0, 0, 0.3, 1)]).unwrap(), [0.0]);
            assert_eq!(values(estimator, &[]).unwrap(), [0.0; 0]);
        }
        assert_eq!(baseline(&[(0.3, 1.0)]), Baseline { mean: 0.3, std: 0.0 });
    }

    #[test]
    fn bad_rollouts_are_refused() {
        let refused =
            values(Estimator::Global, &[rollout(0, 0, 0.0, 1), rollout(0, 0, f32::INFINITY, 1)]);
        assert_eq!(refused, Err(RlError::RewardNotFinite { index: 1, reward: f32::INFINITY }));
        assert_eq!(
            values(Estimator::Global, &[rollout(0, 0, 0.0, 0)]),
            Err(RlError::EmptyRollout { index: 0 })
        );
    }

    fn any_rollouts() -> impl Strategy<Value = Vec<Rollout>> {
        let one = (0_u32..3, 0_u32..3, -2.0_f32..2.0, 1_u32..200);
        prop::collection::vec(
            one.prop_map(|(group, prompt, reward, n)| rollout(group, prompt, reward, n)),
            0..24,
        )
    }

    proptest! {
        #[test]
        fn a_baseline_weighs_up_to_zero(rollouts in any_rollouts()) {
            let by_token = values(Estimator::TokenWhitening, &rollouts).unwrap();
            let by_sequence = values(Estimator::SequenceZScore, &rollouts).unwrap();
            for group in 0..3 {
                let of_group = || rollouts.iter().enumerate().filter(|(_, r)| r.group == group);
                let tokens: f64 = of_group().map(|(i, r)| by_token[i] * f64::from(r.n_tokens)).sum();
                let sequences: f64 = of_group().map(|(i, _)| by_sequence[i]).sum();
                prop_assert!(tokens.abs() < 1e-6 && sequences.abs() < 1e-8, "{tokens} {sequences}");
            }
        }

        #[test]
        fn moving_and_stretching_rewards_changes_nothing(rollouts in any_rollouts(), shift in -4_i8..4, double in any::<bool>()) {
            // Powers of two and a coarse grid keep the moved rewards exact in float32 and their variance
            // far above the epsilon, the one thing that is not invariant.
            let coarse: Vec<Rollout> = rollouts
                .iter()
                .map(|r| Rollout { reward: (r.reward * 2.0).round() / 2.0, n_tokens: r.n_tokens % 20 + 1, ..*r })
                .collect();
            let factor = if double { 2.0 } else { 0.5 };
            let moved: Vec<Rollout> =
                coarse.iter().map(|r| Rollout { reward: r.reward * factor + f32::from(shift), ..*r }).collect();
            for estimator in ALL {
                let (a, b) = (values(estimator, &coarse).unwrap(), values(estimator, &moved).unwrap());
                for (a, b) in a.iter().zip(&b) {
                    prop_assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{estimator:?}: {a} {b}");
                }
            }
        }

        #[test]
        fn equal_rewards_teach_exactly_nothing(rollouts in any_rollouts(), reward in -1e30_f32..1e30) {
            let equal: Vec<Rollout> = rollouts.iter().map(|r| Rollout { reward, ..*r }).collect();
            for estimator in ALL {
                prop_assert!(values(estimator, &equal).unwrap().iter().all(|a| *a == 0.0));
            }
        }

        #[test]
        fn finite_rewards_give_finite_values(rewards in prop::collection::vec(any::<f32>(), 0..8)) {
            let rollouts: Vec<Rollout> = rewards
                .iter()
                .filter(|r| r.is_finite())
                .map(|&reward| rollout(0, 0, reward, u32::MAX))
                .collect();
            for estimator in ALL {
                prop_assert!(values(estimator, &rollouts).unwrap().iter().all(|a| a.is_finite()));
            }
        }
    }
}
