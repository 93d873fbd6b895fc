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
    /// Dr. GRPO (arXiv 2503.20783): difference to the mean over the responses to one prompt.
    PromptMean,
    /// RLOO (arXiv 2402.14740): difference to the mean over the *other* responses to the prompt, which makes it unbiased;
    /// a prompt with one response learns nothing.
    LeaveOneOut,
}

impl Estimator {
    /// Whether responses are measured against others to the same prompt.
    pub const fn is_per_prompt(self) -> bool {
        matches!(self, Self::PromptRelative | Self::PromptMean | Self::LeaveOneOut)
    }
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

/// The rewards that a rollout is measured against.
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
            Estimator::Global => (0, 0),
            _ if estimator.is_per_prompt() => (rollout.group, rollout.prompt),
            _ => (rollout.group, 0),
        };
        members.entry(baseline).or_default().push(index);
    }
    let mut result = vec![Advantage::default(); rollouts.len()];
    for indices in members.values() {
        let values = indices.iter().map(|&index| {
            let rollout = rollouts[index];
            let weight = match estimator {
                Estimator::TokenWhitening | Estimator::Global => f64::from(rollout.n_tokens),
                Estimator::SequenceZScore
                | Estimator::PromptRelative
                | Estimator::PromptMean
                | Estimator::LeaveOneOut => 1.0,
            };
            (f64::from(rollout.reward), weight)
        });
        let values: Vec<(f64, f64)> = values.collect();
        let baseline = baseline(&values);
        for (&index, (reward, _)) in indices.iter().zip(values) {
            let value = match (estimator, baseline.std) {
                // Rounding could make the difference of a reward to the mean of equal ones differ from 0.
                (_, 0.0) => 0.0,
                (Estimator::PromptMean, _) => reward - baseline.mean,
                (Estimator::LeaveOneOut, _) => {
                    let n_others = indices.len() as f64 - 1.0;
                    (reward - baseline.mean) * ((n_others + 1.0) / n_others)
                }
                (_, std) => (reward - baseline.mean) / (std.powi(2) + VARIANCE_EPSILON).sqrt(),
            };
            result[index] = Advantage { value, baseline };
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

    const ALL: [Estimator; 6] = [
        Estimator::TokenWhitening,
        Estimator::SequenceZScore,
        Estimator::Global,
        Estimator::PromptRelative,
        Estimator::PromptMean,
        Estimator::LeaveOneOut,
    ];

    /// Whether advantages are in units of the deviation, so that the scale of rewards does not matter.
    fn is_standardized(estimator: Estimator) -> bool {
        !matches!(estimator, Estimator::PromptMean | Estimator::LeaveOneOut)
    }

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
    fn answers_to_one_prompt_by_hand() {
        let of_three = [1.0, 0.0, 0.5].map(|reward| rollout(0, 4, reward, 1));
        let alone = rollout(0, 5, 9.0, 3);
        let rollouts = [of_three[0], alone, of_three[1], of_three[2]];
        assert_close(&values(Estimator::PromptMean, &rollouts).unwrap(), &[0.5, 0.0, -0.5, 0.0]);
        // The others' means are 0.25, 0.75 and 0.5.
        let left_out = values(Estimator::LeaveOneOut, &rollouts).unwrap();
        assert_close(&left_out, &[0.75, 0.0, -0.75, 0.0]);
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
        fn moving_rewards_changes_nothing_and_stretching_them_only_what_is_not_standardized(rollouts in any_rollouts(), shift in -4_i8..4, double in any::<bool>()) {
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
                let scale = if is_standardized(estimator) { 1.0 } else { f64::from(factor) };
                for (a, b) in a.iter().map(|a| a * scale).zip(&b) {
                    prop_assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{estimator:?}: {a} {b}");
                }
            }
        }

        #[test]
        fn moving_the_rewards_of_one_prompt_matters_where_prompts_share_a_baseline(
            rollouts in prop::collection::vec((0_u8..2, 1_u32..9), 4..12),
        ) {
            // Two prompts of one group, the first with different rewards; the second one's are all moved by 2.
            let of = |shift: f32| -> Vec<Rollout> {
                let first = [(0, 1), (5, 1), (1, 1)];
                let pairs = first.iter().chain(&rollouts).enumerate();
                pairs
                    .map(|(i, &(reward, n))| {
                        let prompt = (i % 2) as u32;
                        rollout(0, prompt, f32::from(reward) + shift * prompt as f32, n)
                    })
                    .collect()
            };
            let (plain, moved) = (of(0.0), of(2.0));
            for estimator in [Estimator::PromptRelative, Estimator::PromptMean, Estimator::LeaveOneOut] {
                let (a, b) = (values(estimator, &plain).unwrap(), values(estimator, &moved).unwrap());
                for (a, b) in a.iter().zip(&b) {
                    prop_assert!((a - b).abs() < 1e-12, "{estimator:?}: {a} {b}");
                }
            }
            for estimator in [Estimator::TokenWhitening, Estimator::SequenceZScore, Estimator::Global] {
                let (a, b) = (values(estimator, &plain).unwrap(), values(estimator, &moved).unwrap());
                prop_assert!(a.iter().zip(&b).any(|(a, b)| (a - b).abs() > 1e-3), "{estimator:?}");
            }
        }

        #[test]
        fn the_order_of_rollouts_does_not_matter(rollouts in any_rollouts(), by in 0_usize..24) {
            let mut turned = rollouts.clone();
            let by = by % turned.len().max(1);
            turned.rotate_left(by);
            for estimator in ALL {
                let mut expected = values(estimator, &rollouts).unwrap();
                expected.rotate_left(by);
                for (a, b) in values(estimator, &turned).unwrap().iter().zip(&expected) {
                    // Sums in another order differ by rounding, which a tiny deviation blows up.
                    prop_assert!((a - b).abs() < 1e-6, "{estimator:?}: {a} {b}");
                }
            }
        }

        #[test]
        fn the_mean_of_the_others_is_a_stretched_mean(rollouts in any_rollouts()) {
            let mean = values(Estimator::PromptMean, &rollouts).unwrap();
            let others = values(Estimator::LeaveOneOut, &rollouts).unwrap();
            for (index, of) in rollouts.iter().enumerate() {
                let same = |r: &&Rollout| (r.group, r.prompt) == (of.group, of.prompt);
                let n = rollouts.iter().filter(same).count() as f64;
                let sum: f64 = rollouts.iter().filter(same).map(|r| f64::from(r.reward)).sum();
                if n > 1.0 {
                    let reward = f64::from(of.reward);
                    prop_assert!((others[index] - (reward - (sum - reward) / (n - 1.0))).abs() < 1e-12);
                    prop_assert!((others[index] * (n - 1.0) / n - mean[index]).abs() < 1e-12);
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
