//! Mirrors of the RL optimizer's types.

use abi_stable::std_types::{RBox, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use crate::{AbiResult, Code, LossSpec, OptimizerSpec};

/// Mirror of `RolloutSummary`; `role` is one of [`codes::role`](crate::codes::role).
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct RolloutSummary {
    pub domain: RString,
    pub kind: RString,
    pub role: Code,
    pub prompt_index: u32,
    pub reward: f32,
    pub n_tokens: u32,
    pub ext_json: RString,
}

/// Mirror of `GroupStats`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct GroupStats {
    pub group: RString,
    pub mean: f64,
    pub std: f64,
    pub n_rollouts: u32,
    pub ext_json: RString,
}

/// Mirror of `StepPlan`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct StepPlan {
    pub advantages: RVec<RVec<f32>>,
    pub weights: RVec<RVec<f32>>,
    pub loss: LossSpec,
    pub optimizer: OptimizerSpec,
    pub groups: RVec<GroupStats>,
    pub ext_json: RString,
}

/// Mirror of `OptimizerNeeds`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct OptimizerNeeds {
    pub reference: bool,
    pub several_answers: bool,
    pub ext_json: RString,
}

/// Mirror of `RlOptimizer`.
#[sabi_trait]
pub trait OptimizerApi: Send + Sync {
    fn needs(&self) -> AbiResult<OptimizerNeeds>;

    #[sabi(last_prefix_field)]
    fn plan(&self, step: u64, rollouts: RVec<RolloutSummary>) -> AbiResult<StepPlan>;
}

/// An owned RL optimizer of the other side.
pub type OptimizerObject = OptimizerApi_TO<'static, RBox<()>>;
