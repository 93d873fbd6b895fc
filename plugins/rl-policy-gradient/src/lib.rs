//! Policy gradients with a PPO-clip loss as an RL optimizer plugin: TRR++ and its relatives.
//!
//! The mathematics is `azr-rl`'s; this crate turns options and rollouts into the plan of one update.

mod options;

use std::collections::BTreeMap;

use azr_plugin::serde_json::{self, json};
use azr_plugin::{
    Engine, ErrorCode, GroupStats, OptimizerNeeds, OptimizerSpec, PluginError, Result, RlOptimizer,
    Role, RolloutSummary, Services, StepPlan,
};
use azr_rl::{Advantage, Rollout, advantages, learning_rate_factor, token_weights};

pub use azr_rl::{Aggregation, Algorithm, Estimator, Objective, Schedule};
pub use options::Options;

azr_plugin::export! {
    entry: azr_rl_policy_gradient,
    optimizers: [PolicyGradient],
}

/// The optimizer `policy-gradient`: task-relative REINFORCE++ (arXiv 2505.03335) and, by the option `algorithm`, its relatives.
#[derive(Debug, Clone)]
pub struct PolicyGradient {
    options: Options,
}

impl Engine for PolicyGradient {
    const NAME: &'static str = "policy-gradient";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str =
        "task-relative REINFORCE++ and other policy gradients with a PPO-clip loss";

    type Options = Options;

    fn capabilities() -> serde_json::Value {
        json!({ "algorithms": algorithm_names() })
    }

    fn create(options: Options, _services: Services) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }
}

impl RlOptimizer for PolicyGradient {
    fn needs(&self) -> OptimizerNeeds {
        let objective = self.options.objective();
        OptimizerNeeds {
            reference: objective.kl_coef > 0.0,
            several_answers: objective.estimator.is_per_prompt(),
        }
    }

    fn plan(&self, step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan> {
        let groups = Groups::of(rollouts);
        let objective = self.options.objective();
        let advantages = advantages(objective.estimator, &groups.rollouts)
            .map_err(|error| PluginError::new(ErrorCode::InvalidInput, error.to_string()))?;
        let solvers = groups.names.iter().filter(|((_, _, role), _)| *role == Role::Solve);
        let group_weights =
            solvers.map(|(_, &group)| (group, f64::from(self.options.solver_weight))).collect();
        let weights = token_weights(&objective, &groups.rollouts, &group_weights);
        let per_token = |values: &mut dyn Iterator<Item = f64>| {
            values
                .zip(rollouts)
                .map(|(value, rollout)| vec![value as f32; rollout.n_tokens as usize])
                .collect()
        };
        Ok(StepPlan {
            advantages: per_token(&mut advantages.iter().map(|advantage| advantage.value)),
            weights: per_token(&mut weights.into_iter()),
            loss: objective.loss(self.options.temperature),
            optimizer: self.optimizer(step),
            groups: groups.stats(&advantages),
        })
    }
}

impl PolicyGradient {
    fn optimizer(&self, step: u64) -> OptimizerSpec {
        let Options {
            update_rule: kind, learning_rate, schedule, warmup_steps, total_steps, ..
        } = self.options;
        let Options { beta1, beta2, epsilon, weight_decay, max_grad_norm, .. } = self.options;
        let factor = learning_rate_factor(schedule, step, warmup_steps, total_steps.unwrap_or(0));
        let learning_rate = (f64::from(learning_rate) * factor) as f32;
        OptimizerSpec { kind, learning_rate, beta1, beta2, epsilon, weight_decay, max_grad_norm }
    }
}

/// Names of the algorithms, as the option has them.
fn algorithm_names() -> Vec<serde_json::Value> {
    Algorithm::ALL.into_iter().map(|algorithm| json!(algorithm)).collect()
}

/// Rollouts with their groups numbered in the order of their names.
struct Groups<'a> {
    names: BTreeMap<(&'a str, &'a str, Role), u32>,
    rollouts: Vec<Rollout>,
}

impl<'a> Groups<'a> {
    fn of(rollouts: &'a [RolloutSummary]) -> Self {
        let name = |rollout: &'a RolloutSummary| {
            (rollout.domain.as_str(), rollout.kind.as_str(), rollout.role)
        };
        let mut names: BTreeMap<_, u32> =
            rollouts.iter().map(|rollout| (name(rollout), 0)).collect();
        for (number, group) in (0..).zip(names.values_mut()) {
            *group = number;
        }
        let rollouts = rollouts
            .iter()
            .map(|rollout| Rollout {
                group: names[&name(rollout)],
                // Proposals of a kind answer one request, "a new task", with other references.
                prompt: match rollout.role {
                    Role::Propose => 0,
                    Role::Solve => rollout.prompt_index,
                },
                reward: rollout.reward,
                n_tokens: rollout.n_tokens,
            })
            .collect();
        Self { names, rollouts }
    }

    /// Baselines by group; where a group has several (one per prompt), their mean over its rollouts.
    fn stats(&self, advantages: &[Advantage]) -> Vec<GroupStats> {
        let stats = |(&(domain, kind, role), &group): (&(&str, &str, Role), &u32)| {
            let members =
                self.rollouts.iter().zip(advantages).filter(|(rollout, _)| rollout.group == group);
            let (mut n_rollouts, mut mean, mut std) = (0_u32, 0.0, 0.0);
            for (_, Advantage { baseline, .. }) in members {
                n_rollouts += 1;
                // A running mean reproduces equal values exactly.
                mean += (baseline.mean - mean) / f64::from(n_rollouts);
                std += (baseline.std - std) / f64::from(n_rollouts);
            }
            GroupStats {
                group: format!("{domain}/{kind}/{}", role.as_str()),
                mean,
                std,
                n_rollouts,
            }
        };
        self.names.iter().map(stats).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(options: Options) -> PolicyGradient {
        PolicyGradient::create(options, Services::default()).unwrap()
    }

    fn rollout(role: Role, reward: f32, n_tokens: u32) -> RolloutSummary {
        RolloutSummary {
            domain: "code".into(),
            kind: "deduction".into(),
            role,
            prompt_index: 0,
            reward,
            n_tokens,
        }
    }

    fn step() -> [RolloutSummary; 4] {
        use Role::{Propose, Solve};
        [
            rollout(Solve, 1.0, 2),
            rollout(Propose, -1.0, 4),
            rollout(Solve, -0.5, 1),
            rollout(Propose, -1.0, 12),
        ]
    }

    #[test]
    fn a_plan_follows_the_rollouts() {
        let plan = engine(Options::default()).plan(0, &step()).unwrap();
        let lengths = |rows: &[Vec<f32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(&plan.advantages), [2, 4, 1, 12]);
        assert_eq!(lengths(&plan.weights), [2, 4, 1, 12]);
        assert!((plan.advantages[0][1] - 0.577_350_3).abs() < 1e-6);
        assert!((plan.advantages[2][0] + 1.154_700_5).abs() < 1e-6);
        assert_eq!(plan.advantages[1], [0.0; 4], "a group with equal rewards learns nothing");
        assert_eq!(plan.weights[1][0], 1.0 / 32.0);
        assert!((plan.weights.concat().iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let names: Vec<&str> = plan.groups.iter().map(|group| group.group.as_str()).collect();
        assert_eq!(names, ["code/deduction/propose", "code/deduction/solve"]);
        assert_eq!(
            (plan.groups[0].mean, plan.groups[0].std, plan.groups[0].n_rollouts),
            (-1.0, 0.0, 2)
        );
        assert_eq!((plan.groups[1].mean, plan.groups[1].std), (0.5, 0.75_f64.sqrt()));
    }

    #[test]
    fn the_solver_weight_scales_solver_tokens_alone() {
        let plain = engine(Options::default()).plan(0, &step()).unwrap();
        let scaled =
            engine(Options { solver_weight: 0.5, ..Options::default() }).plan(0, &step()).unwrap();
        assert_eq!(scaled.weights[0][0], 0.5 * plain.weights[0][0]);
        assert_eq!(scaled.weights[1], plain.weights[1]);
    }

    #[test]
    fn schedules_reach_the_plan() {
        let options = Options {
            learning_rate: 1e-4,
            warmup_steps: 2,
            schedule: Schedule::Linear,
            total_steps: Some(12),
            ..Options::default()
        };
        let rates =
            [0, 1, 2, 7, 12].map(|step| engine(options.clone()).optimizer(step).learning_rate);
        assert_eq!(rates, [5e-5, 1e-4, 1e-4, 5e-5, 0.0]);
    }

    #[test]
    fn zero_switches_the_dual_clip_off() {
        assert_eq!(Options::default().objective().loss(1.0).dual_clip, Some(3.0));
        assert_eq!(Options::paper().objective().loss(1.0).dual_clip, None);
    }

    #[test]
    fn per_prompt_estimators_compare_answers_to_a_task_and_proposals_of_a_kind() {
        let numbered = [(Role::Solve, 0, 1.0), (Role::Solve, 0, 0.0), (Role::Solve, 1, 1.0)];
        let proposals = [(Role::Propose, 2, 0.5), (Role::Propose, 3, -0.5)];
        let rollouts: Vec<RolloutSummary> = numbered
            .iter()
            .chain(&proposals)
            .map(|&(role, prompt_index, reward)| RolloutSummary {
                prompt_index,
                ..rollout(role, reward, 1)
            })
            .collect();
        let options = Options { algorithm: Algorithm::Rloo, ..Options::default() };
        let plan = engine(options).plan(0, &rollouts).unwrap();
        assert_eq!(plan.advantages.concat(), [1.0, -1.0, 0.0, 1.0, -1.0]);
        assert_eq!(plan.weights.concat(), [0.2; 5]);
    }

    #[test]
    fn needs_follow_the_objective() {
        let needs = |algorithm| {
            let options = Options { algorithm, ..Options::default() };
            let OptimizerNeeds { reference, several_answers } = engine(options).needs();
            (reference, several_answers)
        };
        assert_eq!(needs(Algorithm::TaskRelative), (false, false));
        assert_eq!(needs(Algorithm::Grpo), (true, true));
        assert_eq!(needs(Algorithm::Gspo), (false, true));
    }

    #[test]
    fn bad_rollouts_are_the_callers_fault() {
        let error =
            engine(Options::default()).plan(0, &[rollout(Role::Solve, f32::NAN, 1)]).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.message.contains("rollout 0"), "{error}");
        let plan = engine(Options::default()).plan(3, &[]).unwrap();
        assert!(plan.advantages.is_empty() && plan.groups.is_empty());
    }
}
