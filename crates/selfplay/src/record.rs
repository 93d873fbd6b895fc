//! What a step leaves: metrics, rollouts, admitted tasks and safety flags, ready to be written down.

use std::collections::BTreeMap;

use azr_plugin::{FinishReason, PromptBody};
use serde::{Deserialize, Serialize};

use crate::{Alarm, BufferEntry, Flag};

/// Everything a step leaves behind except the new weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepOutput {
    /// The step; 0 for seeding.
    pub step: u64,
    /// Finite values by slash-separated name; a metric that does not apply is absent. A function of weights,
    /// buffers, configuration and step alone.
    pub metrics: BTreeMap<String, f64>,
    /// Durations in seconds (`time/…_s`, see [`Phase::as_str`](crate::Phase::as_str)) and rates per second
    /// (`throughput/…`): the only part that depends on the clock.
    pub timings: BTreeMap<String, f64>,
    /// Every sampled response, in the order of the phases.
    pub rollouts: Vec<RolloutRecord>,
    /// Tasks that entered the buffers, in this order.
    pub admitted: Vec<BufferEntry>,
    /// Responses that the safety monitor flagged.
    pub safety: Vec<SafetyRecord>,
    /// What a person should look at.
    pub alarms: Vec<Alarm>,
}

/// What a response was sampled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutPhase {
    /// To propose a task.
    Propose,
    /// To estimate a new task's solve rate.
    Estimate,
    /// To solve a task and learn from it.
    Solve,
    /// To solve a held-out task.
    Evaluate,
}

impl RolloutPhase {
    /// The phase's name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Estimate => "estimate",
            Self::Solve => "solve",
            Self::Evaluate => "evaluate",
        }
    }
}

/// Why a response ended, as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// An end-of-text token.
    Eos,
    /// A stop string.
    Stop,
    /// The limit on new tokens.
    Length,
    /// The model's context was full.
    Context,
}

impl From<FinishReason> for Finish {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Eos => Self::Eos,
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
            FinishReason::Context => Self::Context,
        }
    }
}

/// A prompt as it is written down: plain text, or the messages of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PromptText {
    /// Text that the model continues.
    Text(String),
    /// A conversation.
    Chat(Vec<ChatMessage>),
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Text; untrusted.
    pub content: String,
}

impl From<&PromptBody> for PromptText {
    fn from(body: &PromptBody) -> Self {
        match body {
            PromptBody::Text(text) => Self::Text(text.clone()),
            PromptBody::Chat(messages) => Self::Chat(
                messages
                    .iter()
                    .map(|message| ChatMessage {
                        role: message.role.clone(),
                        content: message.content.clone(),
                    })
                    .collect(),
            ),
        }
    }
}

/// One sampled response and what became of it. All text is untrusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// Name of the domain.
    pub domain: String,
    /// Task kind.
    pub kind: String,
    /// What it was sampled for; the role is `propose`, or `solve` for the others.
    pub phase: RolloutPhase,
    /// The prompt; absent from the second sample of the same prompt on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt: Option<PromptText>,
    /// What the model wrote.
    pub response: String,
    /// Why it ended.
    pub finish: Finish,
    /// Sampled tokens.
    pub n_tokens: usize,
    /// Seed of the sample.
    pub seed: u64,
    /// Whether the response had the demanded form.
    pub well_formed: bool,
    /// `ok`, or why the proposal was rejected or the answer scored less.
    pub reason: String,
    /// Key of the proposed or attempted task, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub task_key: Option<String>,
    /// Score of an answer, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub score: Option<f32>,
    /// Estimated solve rate of a proposal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub solve_rate: Option<f64>,
    /// Reward, if the response was rewarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reward: Option<f32>,
    /// Advantage of the response's tokens, if it was trained.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub advantage: Option<f32>,
}

/// A response that the safety monitor flagged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetyRecord {
    /// The step.
    pub step: u64,
    /// Name of the domain.
    pub domain: String,
    /// Task kind.
    pub kind: String,
    /// What the response was sampled for.
    pub phase: RolloutPhase,
    /// Position of the response in [`StepOutput::rollouts`].
    pub rollout: usize,
    /// What was found.
    pub flags: Vec<Flag>,
    /// The whole response; untrusted.
    pub text: String,
}
