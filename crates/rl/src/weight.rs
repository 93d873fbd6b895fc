//! Loss weights: how much each token counts in the one sum that an update minimises.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Objective, Rollout};

/// How token losses are averaged. No rule depends on how a backend splits an update into micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Mean over the groups (domain, task kind, role) of the mean over the group's tokens: every group
    /// counts the same however long its responses are. What the reference does with one group per micro-batch.
    #[default]
    GroupTokenMean,
    /// Mean over all tokens of the update: a group counts by its tokens.
    TokenMean,
    /// Mean over all responses of the mean over their tokens, which weakens the tokens of long ones (GRPO,
    /// arXiv 2402.03300; GSPO, arXiv 2507.18071).
    SequenceMean,
    /// Mean over all responses of the sum over their tokens divided by the constant `length_divisor`: Dr. GRPO
    /// (arXiv 2503.20783) with the longest response that is allowed, RLOO (arXiv 2402.14740) with 1.
    SequenceSum,
}

/// Weight of every token of each rollout, in rollout order, by `objective.aggregation`. The weights of all tokens of an
/// update sum to 1 when every entry of `group_weights` is 1, but for those of [`Aggregation::SequenceSum`].
///
/// `group_weights` scales whole groups (λ of the Absolute Zero objective for the solver's); a group that
/// is not in it counts 1. Rollouts have at least one token.
pub fn token_weights(
    objective: &Objective,
    rollouts: &[Rollout],
    group_weights: &BTreeMap<u32, f64>,
) -> Vec<f64> {
    let mut group_tokens: BTreeMap<u32, f64> = BTreeMap::new();
    for rollout in rollouts {
        *group_tokens.entry(rollout.group).or_default() += f64::from(rollout.n_tokens);
    }
    let n_groups = group_tokens.len() as f64;
    let n_tokens: f64 = group_tokens.values().sum();
    let n_rollouts = rollouts.len() as f64;
    let weight = |rollout: &Rollout| {
        let mean = match objective.aggregation {
            Aggregation::GroupTokenMean => 1.0 / (n_groups * group_tokens[&rollout.group]),
            Aggregation::TokenMean => 1.0 / n_tokens,
            Aggregation::SequenceMean => 1.0 / (n_rollouts * f64::from(rollout.n_tokens)),
            Aggregation::SequenceSum => 1.0 / (n_rollouts * f64::from(objective.length_divisor)),
        };
        mean * group_weights.get(&rollout.group).copied().unwrap_or(1.0)
    };
    rollouts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;

    fn weights(aggregation: Aggregation, group_weights: &BTreeMap<u32, f64>) -> Vec<f64> {
        let objective =
            Objective { aggregation, length_divisor: 4.0, ..Algorithm::default().objective() };
        token_weights(&objective, &rollouts(), group_weights)
    }

    fn rollouts() -> [Rollout; 3] {
        let rollout = |group, n_tokens| Rollout { group, prompt: 0, reward: 0.0, n_tokens };
        [rollout(0, 3), rollout(0, 1), rollout(5, 12)]
    }

    fn mass(weights: &[f64]) -> Vec<f64> {
        rollouts()
            .iter()
            .zip(weights)
            .map(|(rollout, weight)| weight * f64::from(rollout.n_tokens))
            .collect()
    }

    #[test]
    fn groups_count_the_same_under_the_group_mean() {
        let weights = weights(Aggregation::GroupTokenMean, &BTreeMap::new());
        assert_eq!(mass(&weights), [0.375, 0.125, 0.5]);
    }

    #[test]
    fn tokens_count_the_same_under_the_token_mean() {
        let weights = weights(Aggregation::TokenMean, &BTreeMap::new());
        assert_eq!(weights, [1.0 / 16.0; 3]);
    }

    #[test]
    fn responses_count_the_same_or_by_their_length() {
        let weights_of = |aggregation| weights(aggregation, &BTreeMap::new());
        let third = 1.0 / 3.0;
        for (found, wanted) in mass(&weights_of(Aggregation::SequenceMean)).iter().zip([third; 3]) {
            assert!((found - wanted).abs() < 1e-15);
        }
        assert_eq!(weights_of(Aggregation::SequenceSum), [1.0 / 12.0; 3]);
    }

    #[test]
    fn group_weights_scale_their_group_alone() {
        let weights = weights(Aggregation::GroupTokenMean, &BTreeMap::from([(5, 0.5)]));
        assert_eq!(mass(&weights), [0.375, 0.125, 0.25]);
        let objective = Algorithm::Dapo.objective();
        assert!(token_weights(&objective, &[], &BTreeMap::new()).is_empty());
    }
}
