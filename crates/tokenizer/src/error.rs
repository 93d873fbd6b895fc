//! The crate's one error.

use std::path::{Path, PathBuf};

use azr_weights::WeightsError;

/// Why a tokenizer could not be opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// A model has no tokenizer.
    #[error("`{}` has no tokenizer: {reason}", path.display())]
    Missing {
        /// The model.
        path: PathBuf,
        /// What was looked for.
        reason: String,
    },
    /// A tokenizer file breaks the rules of its format.
    #[error("the tokenizer of `{}` is damaged: {reason}", path.display())]
    Malformed {
        /// The model or file.
        path: PathBuf,
        /// The rule it breaks.
        reason: String,
    },
    /// A tokenizer asks for something that is not implemented.
    #[error("the tokenizer of `{}` is not supported: {feature}", path.display())]
    Unsupported {
        /// The model or file.
        path: PathBuf,
        /// What it asks for.
        feature: String,
    },
    /// A conversation was given to a tokenizer without a usable chat template.
    #[error("conversations cannot be encoded: {reason}")]
    NoChatTemplate {
        /// Why there is none.
        reason: String,
    },
    /// The chat template refused the conversation or ran out of fuel.
    #[error("the chat template failed: {reason}")]
    Template {
        /// What it said.
        reason: String,
    },
    /// The caller passed something that cannot be encoded.
    #[error("{reason}")]
    InvalidInput {
        /// What is wrong with it.
        reason: String,
    },
    /// The tokenizer failed on a text.
    #[error("the tokenizer failed: {reason}")]
    Failed {
        /// What it said.
        reason: String,
    },
}

impl TokenizerError {
    /// What the user can do about it, if anything is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint(),
            Self::Missing { .. } => Some("give a .gguf file or a directory with tokenizer.json".into()),
            Self::Unsupported { .. } => {
                Some("use the model's Hugging Face directory: its tokenizer.json describes the tokenizer fully".into())
            }
            Self::NoChatTemplate { .. } => Some("use raw text prompts, or an instruct model".into()),
            _ => None,
        }
    }

    pub(crate) fn malformed(path: &Path, reason: impl ToString) -> Self {
        Self::Malformed { path: path.to_path_buf(), reason: reason.to_string() }
    }

    pub(crate) fn failed(reason: impl ToString) -> Self {
        Self::Failed { reason: reason.to_string() }
    }
}
