//! What can be wrong with rollouts and settings.

/// An error of the reinforcement-learning mathematics.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RlError {
    /// A reward is NaN or infinite.
    #[error("the reward of rollout {index} is {reward}; rewards must be finite")]
    RewardNotFinite {
        /// Position of the rollout.
        index: usize,
        /// Its reward.
        reward: f32,
    },
    /// A rollout has no token to carry an advantage.
    #[error("rollout {index} has no tokens; leave empty responses out of the update")]
    EmptyRollout {
        /// Position of the rollout.
        index: usize,
    },
}
