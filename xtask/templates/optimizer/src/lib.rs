//! The optimizer `my-plugin`: REINFORCE whose baseline is the mean reward of a domain, kind and role.

use std::collections::BTreeMap;

use azr_plugin::schemars::JsonSchema;
use azr_plugin::serde::Deserialize;
use azr_plugin::{
    Engine, ErrorCode, GroupStats, LossSpec, OptimizerKind, OptimizerSpec, PluginError, Result,
    RlOptimizer, RolloutSummary, Services, StepPlan,
};

azr_plugin::export! { entry: my_plugin, optimizers: [Baseline] }

/// Options, as in `--set optimizer.options.learning_rate=1e-4`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "azr_plugin::serde", deny_unknown_fields, default)]
#[schemars(crate = "azr_plugin::schemars")]
pub struct Options {
    /// Learning rate of every update.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub learning_rate: f32,
    /// Temperature at which responses are sampled.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub temperature: f32,
}

impl Default for Options {
    fn default() -> Self {
        Self { learning_rate: 1e-5, temperature: 1.0 }
    }
}

/// Rewards above those of the group are reinforced, rewards below it are not.
#[derive(Debug)]
pub struct Baseline(Options);

impl Engine for Baseline {
    const NAME: &'static str = "my-plugin";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "REINFORCE with a mean baseline";
    type Options = Options;

    fn create(options: Options, _: Services) -> Result<Self> {
        Ok(Self(options))
    }
}

impl RlOptimizer for Baseline {
    fn plan(&self, _step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
        if let Some(at) = rollouts.iter().position(|rollout| !rollout.reward.is_finite()) {
            let message = format!("the reward of rollout {at} is {}", rollouts[at].reward);
            return Err(PluginError::new(ErrorCode::InvalidInput, message));
        }
        let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for rollout in rollouts {
            groups.entry(group(rollout)).or_default().push(rollout.reward.into());
        }
        let mean = |rewards: &[f64]| rewards.iter().sum::<f64>() / rewards.len() as f64;
        let advantage = |r: &RolloutSummary| f64::from(r.reward) - mean(&groups[&group(r)]);
        // The loss is a weighted sum: here the mean over the tokens of a response, then over responses.
        let weight = |r: &RolloutSummary| 1.0 / (rollouts.len() as f64 * f64::from(r.n_tokens));
        let per_token = |value: &dyn Fn(&RolloutSummary) -> f64| {
            rollouts.iter().map(|r| vec![value(r) as f32; r.n_tokens as usize]).collect()
        };
        Ok(StepPlan {
            advantages: per_token(&advantage),
            weights: per_token(&weight),
            loss: LossSpec { temperature: self.0.temperature, ..LossSpec::default() },
            optimizer: OptimizerSpec {
                kind: OptimizerKind::Adamw,
                learning_rate: self.0.learning_rate,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.0,
                max_grad_norm: 1.0,
            },
            groups: groups
                .iter()
                .map(|(name, rewards)| stats(name, rewards, mean(rewards)))
                .collect(),
        })
    }
}

fn group(rollout: &RolloutSummary) -> String {
    format!("{}/{}/{}", rollout.domain, rollout.kind, rollout.role.as_str())
}

/// What a run's metrics show of a group.
fn stats(name: &str, rewards: &[f64], mean: f64) -> GroupStats {
    let variance = rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / rewards.len() as f64;
    GroupStats { group: name.into(), mean, std: variance.sqrt(), n_rollouts: rewards.len() as u32 }
}
