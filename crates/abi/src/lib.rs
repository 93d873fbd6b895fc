//! Stable-ABI mirrors of the plain types and traits of `azr-plugin`: no logic, no I/O.
//!
//! A host and a plugin may be built by different compilers and against different minor versions of this crate.
//! Rules of growth within version 1:
//! - [`PluginModule`] and the object traits grow at their end only, after `#[sabi(last_prefix_field)]`;
//!   a new method needs a default body.
//! - Structs are frozen. Where one has an `ext_json` (empty, or a JSON object), additions travel there; for one without
//!   it, only a new type with a new method can say more.
//! - Codes grow by new constants of [`codes`]; a reader treats an unknown code as an error of the other side.

#![allow(
    missing_debug_implementations,
    reason = "the derives generate types without it; every type of ours has it"
)]
#![allow(
    non_local_definitions,
    reason = "the derives of abi_stable 0.11.3 generate impls inside constants"
)]
#![expect(
    unsafe_code,
    reason = "the macros of abi_stable generate the unsafe code of the vtables; there is none of ours"
)]
#![allow(missing_docs, reason = "fields mirror azr-plugin's, which are documented there")]

pub use abi_stable;
use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{ROption, RResult, RStr, RString, RVec};

mod backend;
pub mod codes;
mod context;
mod domain;
mod executor;
mod optimizer;
mod tokenizer;

pub use backend::{
    BackendApi, BackendApi_TO, BackendObject, Completion, GenerateRequest, LossSpec, ModelSpec,
    OptimizerSpec, PolicyApi, PolicyApi_TO, PolicyInfo, PolicyObject, Sampling, ScoreRequest,
    TrainSequence, UpdateBounds, UpdateReport, UpdateRequest,
};
pub use codes::Code;
pub use context::{
    CallContextApi, CallContextApi_TO, CompletionSinkApi, CompletionSinkApi_TO, ContextRef, SinkRef,
};
pub use domain::{
    Answer, DomainApi, DomainApi_TO, DomainObject, Grade, KnownAnswers, Message, Prompt, Proposal,
    ProposeRequest, ReferenceRule, Task, TaskKind, Validation,
};
pub use executor::{
    ExecutorApi, ExecutorApi_TO, ExecutorObject, ExecutorSourceApi, ExecutorSourceApi_TO,
    ExecutorSourceObject, Job, JobReport, Limits, Outcome, Protection,
};
pub use optimizer::{
    GroupStats, OptimizerApi, OptimizerApi_TO, OptimizerNeeds, OptimizerObject, RolloutSummary,
    StepPlan,
};
pub use tokenizer::{TokenizerApi, TokenizerApi_TO, TokenizerInfo, TokenizerObject};

/// Major version of the ABI, in decimal. A host loads plugins of its own major version only.
pub const ABI_MAJOR: &str = env!("CARGO_PKG_VERSION_MAJOR");
/// Minor version of the ABI, in decimal. Minor versions only add, so either side may be the newer one.
pub const ABI_MINOR: &str = env!("CARGO_PKG_VERSION_MINOR");

/// Mirror of `PluginError`; the code is one of [`codes::error`].
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct AbiError {
    pub code: Code,
    pub message: RString,
    pub hint: ROption<RString>,
    pub ext_json: RString,
}

/// Result of every call across the boundary.
pub type AbiResult<T> = RResult<T, AbiError>;

/// Mirror of `EngineInfo`; the kind is one of [`codes::kind`].
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct EngineInfo {
    pub kind: Code,
    pub name: RString,
    pub version: RString,
    pub summary: RString,
    pub capabilities_json: RString,
    pub options_schema_json: RString,
    pub ext_json: RString,
}

/// Mirror of `Services`: what a host lends to an engine for its lifetime.
#[repr(C)]
#[derive(StableAbi)]
pub struct Services {
    pub executor: ROption<ExecutorObject>,
    pub executors: ROption<ExecutorSourceObject>,
    pub ext_json: RString,
}

/// The root module of a plugin. `name` selects an engine, `options_json` is its options object as JSON text.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef, prefix_fields = PluginModulePrefix)))]
pub struct PluginModule {
    /// The embedded manifest's JSON text, byte for byte.
    pub manifest_json: extern "C" fn() -> RStr<'static>,
    pub engines: extern "C" fn() -> AbiResult<RVec<EngineInfo>>,
    pub create_tokenizer: extern "C" fn(RStr<'_>, RStr<'_>, Services) -> AbiResult<TokenizerObject>,
    pub create_backend: extern "C" fn(RStr<'_>, RStr<'_>, Services) -> AbiResult<BackendObject>,
    pub create_executor: extern "C" fn(RStr<'_>, RStr<'_>, Services) -> AbiResult<ExecutorObject>,
    pub create_domain: extern "C" fn(RStr<'_>, RStr<'_>, Services) -> AbiResult<DomainObject>,
    #[sabi(last_prefix_field)]
    pub create_optimizer: extern "C" fn(RStr<'_>, RStr<'_>, Services) -> AbiResult<OptimizerObject>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}

    const BASE_NAME: &'static str = "azr_plugin";
    const NAME: &'static str = "azr plugin";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}
