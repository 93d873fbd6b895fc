//! RL optimizers: rewards in, advantages and the plan of one update out.

use crate::{LossSpec, OptimizerSpec, Result};

/// Which role a response was sampled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Proposed a task.
    Propose,
    /// Solved a task.
    Solve,
}

impl Role {
    /// The role's name in metrics and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Solve => "solve",
        }
    }
}

/// What an optimizer knows about one rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutSummary {
    /// Name of the domain.
    pub domain: String,
    /// Task kind.
    pub kind: String,
    /// Role.
    pub role: Role,
    /// Rollouts of one prompt share this number (for group-relative estimators).
    pub prompt_index: u32,
    /// The whole response's reward.
    pub reward: f32,
    /// Response tokens; at least 1.
    pub n_tokens: u32,
}

/// Baseline statistics of one group, for metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupStats {
    /// `<domain>/<kind>/<role>`.
    pub group: String,
    /// Mean that was subtracted.
    pub mean: f64,
    /// Standard deviation around it, which most estimators divide by; 0 when every reward was equal.
    pub std: f64,
    /// Rollouts in the group.
    pub n_rollouts: u32,
}

/// The plan of one update.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPlan {
    /// Advantage of each token of each rollout, in rollout order.
    pub advantages: Vec<Vec<f32>>,
    /// Loss weight of each token, same shape.
    pub weights: Vec<Vec<f32>>,
    /// The per-token loss.
    pub loss: LossSpec,
    /// The optimizer step.
    pub optimizer: OptimizerSpec,
    /// Baselines, for metrics.
    pub groups: Vec<GroupStats>,
}

/// What an optimizer needs of a run, whatever the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OptimizerNeeds {
    /// A reference model, because some plan has a [`LossSpec::kl_coef`]. It costs a second copy of the weights.
    pub reference: bool,
    /// Several answers to each task, because advantages compare the answers to one prompt.
    pub several_answers: bool,
}

/// Turns one step's rewards into the plan of its update. A pure function of its options and arguments.
pub trait RlOptimizer: Send + Sync {
    /// What a run must provide; asked before it starts.
    fn needs(&self) -> OptimizerNeeds {
        OptimizerNeeds::default()
    }

    /// The plan of update number `step` (0-based; schedules depend on it). Before a run starts, update 0 is planned
    /// without rollouts, to look at its loss and optimizer.
    fn plan(&self, step: u64, rollouts: &[RolloutSummary]) -> Result<StepPlan>;
}
