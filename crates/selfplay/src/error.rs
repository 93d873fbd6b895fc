//! What can go wrong in the loop.

use azr_plugin::{ErrorCode, PluginError};

/// Result of the loop's calls.
pub type Result<T> = std::result::Result<T, SelfPlayError>;

/// An error of the loop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfPlayError {
    /// The configuration makes no run.
    #[error("{message}\nhint: {hint}")]
    Config {
        /// What is wrong.
        message: String,
        /// The way out.
        hint: String,
    },
    /// An engine failed.
    #[error("{engine} failed to {action}")]
    Engine {
        /// Kind and name of the engine, for example `domain code`.
        engine: String,
        /// What it was asked to do.
        action: &'static str,
        /// Why it failed.
        source: PluginError,
    },
    /// An engine returned something that cannot be an answer.
    #[error("{engine} broke its contract: {message}")]
    Contract {
        /// Kind and name of the engine.
        engine: String,
        /// What is wrong with the answer.
        message: String,
    },
    /// A stored task belongs to no buffer of this run.
    #[error(
        "a stored task is of kind {kind} of domain {domain}, which this run does not have\nhint: start the run with the domains it was made with"
    )]
    UnknownBuffer {
        /// Name of the domain.
        domain: String,
        /// Task kind.
        kind: String,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl SelfPlayError {
    pub(crate) fn config(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Config { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn engine(engine: &str, action: &'static str, source: PluginError) -> Self {
        match source.code {
            ErrorCode::Cancelled => Self::Cancelled,
            _ => Self::Engine { engine: engine.to_owned(), action, source },
        }
    }

    pub(crate) fn contract(engine: &str, message: impl Into<String>) -> Self {
        Self::Contract { engine: engine.to_owned(), message: message.into() }
    }
}
