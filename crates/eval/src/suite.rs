//! A benchmark, whatever it asks.

use azr_plugin::{CallContext, Executor, Prompt};
use serde::{Deserialize, Serialize};

use crate::Result;

/// How a model is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptStyle {
    /// A text that the model continues, with worked examples: for base models.
    Completion,
    /// A conversation with instructions, for models with a chat template.
    Chat,
}

impl PromptStyle {
    /// The name on the command line and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Chat => "chat",
        }
    }
}

/// A model's response to an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The item's position in [`Suite::ids`].
    pub item: usize,
    /// How the model was asked.
    pub style: PromptStyle,
    /// What the model wrote; untrusted.
    pub response: &'a str,
}

/// What a response is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is right.
    pub is_right: bool,
    /// `ok`, or why it is not right: a short stable word group such as `no_answer`, `wrong` or `time_limit`.
    pub reason: String,
    /// What was read out of the response and graded, if anything was.
    pub answer: Option<String>,
}

/// A benchmark with its items read.
pub trait Suite: Send + Sync {
    /// Its name on the command line and in results, for example `gsm8k`.
    fn name(&self) -> &str;

    /// The items' ids, unique, in the order of the data.
    fn ids(&self) -> Vec<String>;

    /// The name of the prompts that `style` gives, recorded with results.
    fn template(&self, style: PromptStyle) -> String {
        style.as_str().to_owned()
    }

    /// What the model is shown of item `item`. Never shows its answer.
    fn prompt(&self, item: usize, style: PromptStyle) -> Prompt;

    /// Grades responses, one verdict each, in order. Total: any text gets a verdict. A verdict is a function of its
    /// answer alone. Programs run through `executor` only. Progress counts answers.
    ///
    /// # Errors
    /// The executor failed or the context was cancelled.
    fn grade(
        &self,
        answers: &[Answer<'_>],
        executor: &dyn Executor,
        context: &dyn CallContext,
    ) -> Result<Vec<Verdict>>;

    /// A response to item `item`, asked in `style`, that has to be graded right: the data's own solution. By it the data
    /// and the grader are checked. None where the data have no solution in the form of a response.
    fn gold(&self, item: usize, style: PromptStyle) -> Option<String>;
}
