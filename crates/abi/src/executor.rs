//! Mirrors of the executor's types.

use abi_stable::std_types::{RBox, ROption, RStr, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use crate::{AbiResult, Code, ContextRef};

/// Mirror of `Limits`.
#[repr(C)]
#[derive(Debug, Clone, Copy, StableAbi)]
pub struct Limits {
    pub wall_ms: u64,
    pub cpu_ms: u64,
    pub memory_bytes: u64,
    pub output_bytes: u64,
}

/// Mirror of `Job`; `purpose` is one of [`codes::purpose`](crate::codes::purpose).
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Job {
    pub program: RString,
    pub calls: RVec<RString>,
    pub purpose: Code,
    pub limits: Limits,
    pub pinned: ROption<RString>,
    pub ext_json: RString,
}

/// Mirror of `Outcome`: one of [`codes::outcome`](crate::codes::outcome) with its text, and for
/// `LIMIT` one of [`codes::limit`](crate::codes::limit) (else 0).
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Outcome {
    pub code: Code,
    pub limit: Code,
    pub text: RString,
}

/// Mirror of `JobReport`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct JobReport {
    pub outcomes: RVec<Outcome>,
    pub executor: RString,
    pub ext_json: RString,
}

/// Mirror of `Protection`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Protection {
    pub name: RString,
    pub in_force: bool,
    pub detail: RString,
    pub ext_json: RString,
}

/// Mirror of `Executor`.
#[sabi_trait]
pub trait ExecutorApi: Send + Sync {
    fn run(&self, jobs: RVec<Job>, context: ContextRef<'_>) -> AbiResult<RVec<JobReport>>;

    #[sabi(last_prefix_field)]
    fn protections(&self) -> AbiResult<RVec<Protection>>;
}

/// Mirror of `ExecutorSource`: makes the executors that another one is made of.
#[sabi_trait]
pub trait ExecutorSourceApi: Send + Sync {
    #[sabi(last_prefix_field)]
    fn executor(&self, name: RStr<'_>, options_json: RStr<'_>) -> AbiResult<ExecutorObject>;
}

/// An owned source of executors of the other side.
pub type ExecutorSourceObject = ExecutorSourceApi_TO<'static, RBox<()>>;

/// An owned executor of the other side.
pub type ExecutorObject = ExecutorApi_TO<'static, RBox<()>>;
