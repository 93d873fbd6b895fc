//! Decoder-only transformer (Llama and Qwen2 families): forward, hand-written backward, KV cache, batching and
//! sampling, as one definition over a [`Device`].

pub mod device;
pub mod reference;

pub use device::{
    AdamStep, AttentionSequence, AttentionShape, Device, DeviceError, DeviceResult, KeySpan,
    SampleSpec, TokenScores, TokenTargets,
};
