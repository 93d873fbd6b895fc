//! Task domains: what is proposed, how it is checked, how it is asked and how answers are graded.

use std::collections::BTreeMap;

use crate::{CallContext, Result};

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Text; untrusted.
    pub content: String,
}

/// What the model is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptBody {
    /// Raw text that the model continues.
    Text(String),
    /// A conversation for the model's chat template; the assistant speaks next.
    Chat(Vec<Message>),
}

/// A prompt with what bounds its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What the model is shown.
    pub body: PromptBody,
    /// Strings that end the response.
    pub stop: Vec<String>,
    /// Longest response in tokens.
    pub max_new_tokens: u32,
}

/// Where the references of a proposal come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceRule {
    /// Buffers (task kinds of this domain) that are drawn from, concatenated.
    pub from: Vec<String>,
    /// At most this many, drawn without replacement.
    pub count: u32,
}

/// A kind of task of a domain, for example `deduction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskKind {
    /// Unique in the domain: lower case, digits and `-`.
    pub name: String,
    /// How proposals of this kind are conditioned.
    pub references: ReferenceRule,
}

/// A verified task. The loop stores it and hands it back; only its domain reads the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The task's kind.
    pub kind: String,
    /// Canonical key: equal keys are the same task.
    pub key: String,
    /// Canonical key of what the task is about, whatever is asked of it: in the code domain the program, whatever its
    /// layout, comments and names of variables. A task whose subject is that of a held-out task is never trained on. Empty when the
    /// domain knows nothing of the sort.
    pub subject: String,
    /// The domain's own JSON object.
    pub payload: String,
}

/// Asks for one proposal prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposeRequest {
    /// Kind to propose.
    pub kind: String,
    /// References drawn by the loop.
    pub references: Vec<Task>,
    /// Seed of anything the prompt chooses at random.
    pub seed: u64,
}

/// A model's answer to a proposal prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Kind that was asked for.
    pub kind: String,
    /// The references that were shown.
    pub references: Vec<Task>,
    /// What the model wrote; untrusted.
    pub response: String,
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// The verified task, if it is valid.
    pub task: Option<Task>,
    /// Whether the response had the demanded form.
    pub well_formed: bool,
    /// `ok`, or why it was rejected: a short stable word group such as `syntax` or `nondeterministic`; metrics count it.
    pub reason: String,
    /// How hard a valid task looks, by measures of the domain's own, for example `nodes` of its expression: lower case,
    /// digits and `_`. Metrics show the mean of each.
    pub measures: BTreeMap<String, f64>,
}

/// A model's answer to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The task that was asked.
    pub task: Task,
    /// What the model wrote; untrusted.
    pub response: String,
}

/// What an answer is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    /// 0 wrong … 1 right.
    pub score: f32,
    /// Whether the response had the demanded form.
    pub well_formed: bool,
    /// `ok`, or why it scored less: a short stable word group; metrics count it.
    pub reason: String,
}

/// A task domain.
///
/// What [`Domain::validate`] and [`Domain::grade`] say of an item is a function of that item and of the domain's
/// options: neither of what else is in the call nor of earlier calls. A wave is checked in one call or, while it is
/// still being sampled, in several, split as completions happen to come; nothing in a run may depend on it. Equal work
/// within a call may be done once. Calls may come from any thread.
pub trait Domain: Send + Sync {
    /// The kinds of tasks, in a fixed order.
    fn kinds(&self) -> Vec<TaskKind>;

    /// The tasks that a run starts from, of one kind.
    fn seed_tasks(&self, kind: &str) -> Result<Vec<Task>>;

    /// A proposal prompt for each request.
    fn propose_prompts(&self, requests: &[ProposeRequest]) -> Result<Vec<Prompt>>;

    /// Parses and verifies proposals. Total: any text gives a verdict. Progress counts proposals.
    fn validate(
        &self,
        proposals: &[Proposal],
        context: &dyn CallContext,
    ) -> Result<Vec<Validation>>;

    /// A solver prompt for each task; never shows the answer.
    fn solve_prompts(&self, tasks: &[Task]) -> Result<Vec<Prompt>>;

    /// Grades answers. Total: any text gets a grade. Progress counts answers.
    fn grade(&self, answers: &[Answer], context: &dyn CallContext) -> Result<Vec<Grade>>;
}
