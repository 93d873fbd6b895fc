//! What a plugin author uses: ordinary Rust traits, one per engine kind, and the plain values they speak in.
//!
//! An engine implements [`Engine`] (its name, options and constructor) and the trait of its kind:
//! [`Tokenizer`], [`Backend`], [`Executor`], [`Domain`] or [`RlOptimizer`].
//! Nothing here names a stable-ABI type; `export!` and the adapters translate.
//!
//! Every call takes a whole wave, batch or update: nothing crosses the plugin boundary once per token.

mod backend;
pub mod bridge;
pub mod conformance;
mod context;
mod domain;
mod engine;
mod error;
mod executor;
mod export;
pub mod manifest;
mod optimizer;
pub mod response;
mod tokenizer;

pub use backend::{
    Backend, Completion, FinishReason, GenerateRequest, LossSpec, ModelSpec, OptimizerKind,
    OptimizerSpec, Policy, PolicyInfo, Ratio, Sampling, ScoreRequest, TrainSequence, UpdateBounds,
    UpdateReport, UpdateRequest,
};
pub use context::{CallContext, CompletionSink, Quiet};
pub use domain::{
    Answer, Domain, Grade, KnownAnswers, Message, Prompt, PromptBody, Proposal, ProposeRequest,
    ReferenceRule, Task, TaskKind, Validation,
};
pub use engine::{Engine, EngineInfo, EngineKind, ExecutorSource, NoOptions, Services};
pub use error::{ErrorCode, PluginError, Result};
pub use executor::{Executor, Job, JobReport, LimitKind, Limits, Outcome, Protection, Purpose};
pub use optimizer::{GroupStats, OptimizerNeeds, RlOptimizer, Role, RolloutSummary, StepPlan};
pub use tokenizer::{ControlTokens, Tokenizer, TokenizerInfo};

// Authors need these two to declare options; re-exported so that a plugin depends on this crate alone.
pub use schemars;
pub use serde;
pub use serde_json;

/// What the code that `export!` generates needs.
#[doc(hidden)]
pub mod __private {
    pub use azr_abi::PluginModuleRef;
    pub use azr_abi::abi_stable::library::LibHeader;

    pub use crate::bridge::module::{
        Export, Exported, Registration, backend, domain, executor, header, module, optimizer,
        tokenizer,
    };
    pub use crate::manifest::Facts;
}
