//! The optimizer `shrunken`: REINFORCE with a leave-one-out baseline that is shrunk towards that of the group.
//!
//! With the rewards of the `n` other answers to the same prompt (mean `p`) and those of all other rollouts of the same
//! domain, kind and role (mean `g`), rollout `i` has the advantage
//!
//! ```text
//! A_i = r_i - (n p + k g) / (n + k)
//! ```
//!
//! `p` alone is the baseline of RLOO (arXiv 2402.14740): right for its prompt, but noisy where few answers were sampled.
//! `g` alone is steady, but blind to how hard the prompt is. `k` says how many answers `g` is worth, as in an estimate of
//! James and Stein; `k = 0` is RLOO. Neither mean contains `r_i`, so the baseline adds no bias, whatever `k`.
//!
//! A prompt with one answer leaves `g`, a group of one rollout nothing to compare with: its advantage is 0. Proposals of
//! a kind all answer one request, so they are compared with `g`.

mod estimator;

use std::collections::BTreeMap;

use azr_plugin::schemars::JsonSchema;
use azr_plugin::serde::Deserialize;
use azr_plugin::{
    Engine, ErrorCode, GroupStats, LossSpec, OptimizerKind, OptimizerSpec, PluginError, Result,
    RlOptimizer, Role, RolloutSummary, Services, StepPlan,
};

pub use estimator::{Member, advantages};

azr_plugin::export! {
    entry: azr_example_optimizer_custom,
    optimizers: [Shrunken],
}

/// Options of [`Shrunken`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct Options {
    /// How many answers the group's mean is worth (`k`); 0 uses the answers to the same prompt alone where there are any.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub prior: f64,
    /// Learning rate of every update.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f32,
    /// Temperature at which log-probabilities are taken: the one used for sampling.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub temperature: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { prior: 2.0, learning_rate: 1e-5, temperature: 1.0 }
    }
}

/// Policy gradients with the shrunken baseline and PPO's clipped loss.
#[derive(Debug)]
pub struct Shrunken {
    options: Options,
}

impl Engine for Shrunken {
    const NAME: &'static str = "shrunken";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "leave-one-out baseline, shrunk towards that of its group";
    type Options = Options;

    fn create(options: Options, _: Services) -> Result<Self> {
        Ok(Self { options })
    }
}

impl RlOptimizer for Shrunken {
    fn plan(&self, _step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
        if let Some(at) = rollouts.iter().position(|rollout| !rollout.reward.is_finite()) {
            let message = format!("the reward of rollout {at} is not finite");
            return Err(PluginError::new(ErrorCode::InvalidInput, message));
        }
        let (members, names) = members(rollouts);
        let values = advantages(&members, self.options.prior);
        // Every response weighs the same, whatever its length; the loss is the weighted sum.
        let weight = |r: &RolloutSummary| 1.0 / (rollouts.len() as f32 * r.n_tokens as f32);
        Ok(StepPlan {
            advantages: per_token(rollouts, values.iter().map(|value| *value as f32)),
            weights: per_token(rollouts, rollouts.iter().map(weight)),
            loss: LossSpec { temperature: self.options.temperature, ..LossSpec::default() },
            optimizer: OptimizerSpec {
                kind: OptimizerKind::Adamw,
                learning_rate: self.options.learning_rate,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
                max_grad_norm: 1.0,
            },
            groups: stats(&members, &names),
        })
    }
}

/// The rollouts as the estimator sees them, and the groups' names by number.
fn members(rollouts: &[RolloutSummary]) -> (Vec<Member>, Vec<String>) {
    let name = |r: &RolloutSummary| format!("{}/{}/{}", r.domain, r.kind, r.role.as_str());
    let mut numbers: BTreeMap<String, usize> = rollouts.iter().map(|r| (name(r), 0)).collect();
    for (number, slot) in numbers.values_mut().enumerate() {
        *slot = number;
    }
    let member = |r: &RolloutSummary| Member {
        group: numbers[&name(r)],
        prompt: (r.role == Role::Solve).then_some(r.prompt_index),
        reward: f64::from(r.reward),
    };
    (rollouts.iter().map(member).collect(), numbers.into_keys().collect())
}

fn per_token(rollouts: &[RolloutSummary], values: impl Iterator<Item = f32>) -> Vec<Vec<f32>> {
    values.zip(rollouts).map(|(value, r)| vec![value; r.n_tokens as usize]).collect()
}

/// Mean and standard deviation of each group's rewards, for metrics.
fn stats(members: &[Member], names: &[String]) -> Vec<GroupStats> {
    let of_group = |(number, name): (usize, &String)| {
        let rewards = || members.iter().filter(|m| m.group == number).map(|m| m.reward);
        let n = rewards().count().max(1) as f64;
        let mean = rewards().sum::<f64>() / n;
        let variance = rewards().map(|reward| (reward - mean).powi(2)).sum::<f64>() / n;
        GroupStats { group: name.clone(), mean, std: variance.sqrt(), n_rollouts: n as u32 }
    };
    names.iter().enumerate().map(of_group).collect()
}
