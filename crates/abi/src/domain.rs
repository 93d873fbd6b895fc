//! Mirrors of the task domain's types.

use abi_stable::std_types::{RBox, ROption, RResult, RString, RVec};
use abi_stable::{StableAbi, sabi_trait};

use crate::{AbiResult, Code, ContextRef};

/// Mirror of `Message`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Message {
    pub role: RString,
    pub content: RString,
}

/// Mirror of `Prompt`; `body` is one of [`codes::prompt`](crate::codes::prompt), which says whether
/// `text` or `chat` holds it.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Prompt {
    pub body: Code,
    pub text: RString,
    pub chat: RVec<Message>,
    pub stop: RVec<RString>,
    pub max_new_tokens: u32,
    pub ext_json: RString,
}

/// Mirror of `ReferenceRule`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct ReferenceRule {
    pub from: RVec<RString>,
    pub count: u32,
}

/// Mirror of `TaskKind`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct TaskKind {
    pub name: RString,
    pub references: ReferenceRule,
    pub ext_json: RString,
}

/// Mirror of `Task`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Task {
    pub kind: RString,
    pub key: RString,
    pub subject: RString,
    pub payload: RString,
}

/// Mirror of `ProposeRequest`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct ProposeRequest {
    pub kind: RString,
    pub references: RVec<Task>,
    pub seed: u64,
    pub ext_json: RString,
}

/// Mirror of `Proposal`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Proposal {
    pub kind: RString,
    pub references: RVec<Task>,
    pub response: RString,
    pub ext_json: RString,
}

/// Mirror of `Validation`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Validation {
    pub task: ROption<Task>,
    pub well_formed: bool,
    pub reason: RString,
    pub ext_json: RString,
}

/// Mirror of `Answer`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Answer {
    pub task: Task,
    pub response: RString,
    pub ext_json: RString,
}

/// Mirror of `Grade`.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct Grade {
    pub score: f32,
    pub well_formed: bool,
    pub reason: RString,
    pub ext_json: RString,
}

/// Mirror of `KnownAnswers`. Since 1.1.
#[repr(C)]
#[derive(Debug, Clone, StableAbi)]
pub struct KnownAnswers {
    pub right: RVec<RString>,
    pub wrong: RVec<RString>,
    pub ext_json: RString,
}

/// Mirror of `Domain`.
#[sabi_trait]
pub trait DomainApi: Send + Sync {
    fn kinds(&self) -> AbiResult<RVec<TaskKind>>;
    fn seed_tasks(&self, kind: RString) -> AbiResult<RVec<Task>>;
    fn propose_prompts(&self, requests: RVec<ProposeRequest>) -> AbiResult<RVec<Prompt>>;
    fn validate(
        &self,
        proposals: RVec<Proposal>,
        context: ContextRef<'_>,
    ) -> AbiResult<RVec<Validation>>;
    fn solve_prompts(&self, tasks: RVec<Task>) -> AbiResult<RVec<Prompt>>;

    #[sabi(last_prefix_field)]
    fn grade(&self, answers: RVec<Answer>, context: ContextRef<'_>) -> AbiResult<RVec<Grade>>;

    /// Since 1.1. A domain that was built before knows no answers.
    fn known_answers(&self, tasks: RVec<Task>) -> AbiResult<RVec<KnownAnswers>> {
        let nothing =
            |_| KnownAnswers { right: RVec::new(), wrong: RVec::new(), ext_json: RString::new() };
        RResult::ROk(tasks.into_iter().map(nothing).collect())
    }
}

/// An owned domain of the other side.
pub type DomainObject = DomainApi_TO<'static, RBox<()>>;
