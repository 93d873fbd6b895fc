//! Whoever answers prompts.

use azr_plugin::{CallContext, FinishReason, Prompt};
use serde::{Deserialize, Serialize};

use crate::Result;

/// A prompt and the samples wanted from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Id of the item, for messages.
    pub id: String,
    /// What is shown, and what bounds the response.
    pub prompt: Prompt,
    /// One response for each seed.
    pub seeds: Vec<u64>,
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended it, or a stop string appeared.
    Stop,
    /// The limit on tokens was reached or the model's context was full: what is missing is not known.
    Length,
    /// The prompt leaves no room for a response in the model's context; nothing was asked.
    PromptTooLong,
}

impl From<FinishReason> for Finish {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Eos | FinishReason::Stop => Self::Stop,
            FinishReason::Length | FinishReason::Context => Self::Length,
        }
    }
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What was written, without the stop string; untrusted.
    pub text: String,
    /// Tokens of it, where they are known.
    pub n_tokens: Option<u64>,
    /// Why it ended.
    pub finish: Finish,
}

/// How samples are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Softmax temperature; 0 is greedy.
    pub temperature: f32,
    /// Nucleus mass in (0, 1].
    pub top_p: f32,
}

/// Anything that answers prompts: a model in this process, a server.
pub trait Asker {
    /// Samples that are asked for in one call, at best. No result depends on it.
    fn wave(&self) -> usize;

    /// Responses to each question, in order, one for each of its seeds. Progress counts tokens, each response as if it
    /// were as long as it may be.
    ///
    /// # Errors
    /// The model or server failed, or the context was cancelled.
    fn ask(
        &mut self,
        questions: &[Question],
        sampling: Sampling,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Response>>>;
}

impl<A: Asker + ?Sized> Asker for &mut A {
    fn wave(&self) -> usize {
        (**self).wave()
    }

    fn ask(
        &mut self,
        questions: &[Question],
        sampling: Sampling,
        context: &dyn CallContext,
    ) -> Result<Vec<Vec<Response>>> {
        (**self).ask(questions, sampling, context)
    }
}
