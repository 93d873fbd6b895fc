//! Mirrors of the model backend's types.

use abi_stable::std_types::{RBox, ROption, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use crate::{AbiResult, Code, ContextRef, SinkRef};

/// Mirror of `ModelSpec`; the path is bytes.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct ModelSpec {
    pub path: RVec<u8>,
    pub vocabulary: RVec<RVec<u8>>,
    pub eos: RVec<u32>,
    pub learns: bool,
    pub ext_json: RString,
}

/// Mirror of `PolicyInfo`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct PolicyInfo {
    pub family: RString,
    pub device: RString,
    pub n_parameters: u64,
    pub vocab_size: u32,
    pub context_length: u32,
    pub ext_json: RString,
}

/// Mirror of `Sampling`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Sampling {
    pub temperature: f32,
    pub top_p: f32,
    pub max_new_tokens: u32,
    pub stop: RVec<RString>,
    pub ext_json: RString,
}

/// Mirror of `GenerateRequest`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct GenerateRequest {
    pub prompt: RVec<u32>,
    pub seeds: RVec<u64>,
    pub sampling: Sampling,
    pub ext_json: RString,
}

/// Mirror of `Completion`; `finish` is one of [`codes::finish`](crate::codes::finish).
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Completion {
    pub tokens: RVec<u32>,
    pub logprobs: RVec<f32>,
    pub finish: Code,
    pub text: RString,
    pub ext_json: RString,
}

/// Mirror of `ScoreRequest`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct ScoreRequest {
    pub prompt: RVec<u32>,
    pub response: RVec<u32>,
    pub temperature: f32,
    pub ext_json: RString,
}

/// Mirror of `TrainSequence`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct TrainSequence {
    pub prompt: RVec<u32>,
    pub response: RVec<u32>,
    pub behaviour_logprobs: RVec<f32>,
    pub reference_logprobs: RVec<f32>,
    pub advantages: RVec<f32>,
    pub weights: RVec<f32>,
    pub ext_json: RString,
}

/// Mirror of `LossSpec`; `ratio` is one of [`codes::ratio`](crate::codes::ratio).
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct LossSpec {
    pub ratio: Code,
    pub clip_low: f32,
    pub clip_high: f32,
    pub dual_clip: ROption<f32>,
    pub entropy_coef: f32,
    pub kl_coef: f32,
    pub temperature: f32,
    pub ext_json: RString,
}

/// Mirror of `OptimizerSpec`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct OptimizerSpec {
    /// One of [`codes::optimizer_kind`](crate::codes::optimizer_kind).
    pub kind: Code,
    pub learning_rate: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub epsilon: f32,
    pub weight_decay: f32,
    pub max_grad_norm: f32,
    pub ext_json: RString,
}

/// Mirror of `UpdateRequest`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct UpdateRequest {
    pub sequences: RVec<TrainSequence>,
    pub loss: LossSpec,
    pub optimizer: OptimizerSpec,
    pub bounds: UpdateBounds,
    pub ext_json: RString,
}

/// Mirror of `UpdateBounds`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct UpdateBounds {
    pub loss_min: f64,
    pub loss_max: f64,
    pub grad_norm_max: f64,
    pub ext_json: RString,
}

/// Mirror of `UpdateReport`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct UpdateReport {
    pub loss: f64,
    pub entropy: f64,
    pub kl: f64,
    pub grad_norm: f64,
    pub clip_fraction: f64,
    pub logprob_gap_mean: f64,
    pub logprob_gap_max: f64,
    pub n_tokens: u64,
    pub applied: bool,
    pub ext_json: RString,
}

/// Mirror of `Backend`.
#[sabi_trait]
pub trait BackendApi: Send + Sync {
    #[sabi(last_prefix_field)]
    fn open(&self, model: ModelSpec) -> AbiResult<PolicyObject>;
}

/// Mirror of `Policy`; paths are bytes.
#[sabi_trait]
pub trait PolicyApi: Send {
    fn info(&self) -> AbiResult<PolicyInfo>;
    fn generate(
        &mut self,
        requests: RVec<GenerateRequest>,
        sink: SinkRef<'_>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<RVec<Completion>>>;
    fn score(
        &mut self,
        requests: RVec<ScoreRequest>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<RVec<f32>>>;
    fn update(
        &mut self,
        request: UpdateRequest,
        context: ContextRef<'_>,
    ) -> AbiResult<UpdateReport>;
    fn save(&self, directory: RVec<u8>, with_optimizer: bool) -> AbiResult<()>;

    #[sabi(last_prefix_field)]
    fn load(&mut self, directory: RVec<u8>) -> AbiResult<()>;
}

/// An owned backend of the other side.
pub type BackendObject = BackendApi_TO<'static, RBox<()>>;
/// An owned policy of the other side.
pub type PolicyObject = PolicyApi_TO<'static, RBox<()>>;
