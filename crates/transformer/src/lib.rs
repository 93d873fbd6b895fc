//! Decoder-only transformer (Llama and Qwen2 families): forward, hand-written backward, KV cache, batching and
//! sampling, as one definition over a [`Device`].

pub mod checks;
pub mod conformance;
pub mod device;
pub mod quantise;
pub mod reference;

mod backward;
mod cache;
mod copies;
mod error;
mod forward;
mod generate;
mod gradients;
mod lora;
mod loss;
mod memory;
mod model;
mod optimizer;
mod options;
mod parameters;
mod plan;
mod policy;
mod rows;
mod score;
mod text;
mod update;

pub use device::{
    ActivationPrecision, AdamStep, AdamTensor, AttentionSequence, AttentionShape, CacheRows,
    CopyFormat, Device, DeviceError, DeviceResult, KeySpan, Moment, QkvSpec, SampleSpec,
    StatePrecision, Tensor, TensorMut, TokenScores, TokenTargets, Weights,
};
pub use error::{Result, TransformerError};
pub use generate::{GenerateLimits, Vocabulary};
pub use lora::LoraOptions;
pub use memory::MemoryUse;
pub use model::{MemoryProbe, Model, TrainingOptions};
pub use optimizer::packing;
pub use options::{Lora, OptimizerState, PolicyOptions, RolloutWeights, check_range};
pub use plan::{MemoryPlan, Workload};
pub use policy::{DevicePolicy, PolicyLimits};
pub use update::DEFAULT_MICRO_BATCH_ROWS;

#[cfg(test)]
mod tests;
