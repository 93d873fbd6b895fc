//! Task domains: what is proposed, how it is checked, how it is asked and how answers are graded.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{CallContext, ErrorCode, PluginError, Result};

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

impl Prompt {
    /// A text to continue, up to the first of `stop`.
    pub fn completion(text: impl Into<String>, stop: &[&str], max_new_tokens: u32) -> Self {
        let stop = stop.iter().map(|&stop| stop.to_owned()).collect();
        Self { body: PromptBody::Text(text.into()), stop, max_new_tokens }
    }
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

impl TaskKind {
    /// The kind `name`, whose proposals are shown up to `count` tasks of the kinds `from`.
    pub fn new(name: &str, from: &[&str], count: u32) -> Self {
        let from = from.iter().map(|&kind| kind.to_owned()).collect();
        Self { name: name.to_owned(), references: ReferenceRule { from, count } }
    }
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
    /// The domain's own JSON.
    pub payload: String,
}

impl Task {
    /// A task with `payload` as JSON and no subject.
    ///
    /// # Errors
    /// When the payload cannot be written as JSON (a map whose keys are no texts, say).
    pub fn new(
        kind: impl Into<String>,
        key: impl Into<String>,
        payload: &impl Serialize,
    ) -> Result<Self> {
        let (kind, key) = (kind.into(), key.into());
        let payload = serde_json::to_string(payload).map_err(|error| {
            let message = format!("{kind} task {key} cannot be written: {error}");
            PluginError::new(ErrorCode::Internal, message)
        })?;
        Ok(Self { kind, key, subject: String::new(), payload })
    }

    /// The payload.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidInput`] when it is not what `T` is written as.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.payload).map_err(|error| {
            let message = format!("{} task {} cannot be read: {error}", self.kind, self.key);
            PluginError::new(ErrorCode::InvalidInput, message)
                .with_hint("hand back tasks as this domain made them")
        })
    }
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

impl Validation {
    /// A proposal that became a task, without measures.
    pub fn valid(task: Task) -> Self {
        Self { task: Some(task), ..Self::rejected("ok") }
    }

    /// A proposal that was understood and is no valid task.
    pub fn rejected(reason: impl Into<String>) -> Self {
        let (reason, measures) = (reason.into(), BTreeMap::new());
        Self { task: None, well_formed: true, reason, measures }
    }

    /// A proposal that lacks the demanded form.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self { well_formed: false, ..Self::rejected(reason) }
    }
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

impl Grade {
    /// A right answer.
    pub fn right() -> Self {
        Self { score: 1.0, well_formed: true, reason: "ok".to_owned() }
    }

    /// An answer that was understood and is wrong.
    pub fn wrong(reason: impl Into<String>) -> Self {
        Self { score: 0.0, well_formed: true, reason: reason.into() }
    }

    /// An answer that lacks the demanded form.
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self { score: 0.0, well_formed: false, reason: reason.into() }
    }
}

/// Responses whose grades are known beforehand, as a model would write them: what shows that grading is sound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownAnswers {
    /// Responses that score 1.
    pub right: Vec<String>,
    /// Responses that score 0.
    pub wrong: Vec<String>,
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

    /// What is known of the answers to each task. Only the conformance kit asks; nothing of it is ever shown to a model.
    /// By default nothing is known.
    fn known_answers(&self, tasks: &[Task]) -> Result<Vec<KnownAnswers>> {
        Ok(vec![KnownAnswers::default(); tasks.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_read_as_it_was_written_and_as_nothing_else() {
        let task = Task::new("deduction", "1 + 2", &(1, 2)).unwrap();
        assert_eq!(task.payload, "[1,2]");
        assert_eq!(task.read::<(u8, u8)>().unwrap(), (1, 2));
        let error = task.read::<String>().unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidInput);
        assert!(error.message.contains("deduction task 1 + 2"), "{error}");
        let unwritable = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(Task::new("a", "b", &unwritable).unwrap_err().code, ErrorCode::Internal);
    }
}
