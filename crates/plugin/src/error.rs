//! The one error that crosses the plugin boundary: a code to branch on, a message to read, a way out.

use std::fmt;

/// What kind of failure it was; hosts branch on this and never on the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The caller passed something this engine cannot take.
    InvalidInput,
    /// The engine's options are wrong.
    InvalidConfig,
    /// A file, model or program that was named does not exist.
    NotFound,
    /// The machine lacks something the engine needs (an interpreter, a driver, a protection).
    Unavailable,
    /// Reading or writing failed; the message names the path.
    Io,
    /// The caller's context was cancelled.
    Cancelled,
    /// The engine panicked; the instance must not be called again.
    Panicked,
    /// Anything else: a defect of the engine.
    Internal,
}

/// An error of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    /// What kind of failure it was.
    pub code: ErrorCode,
    /// Lower case, no final period, names the thing that failed.
    pub message: String,
    /// What the user can do about it, if anything is known.
    pub hint: Option<String>,
}

/// Result of every engine call.
pub type Result<T> = std::result::Result<T, PluginError>;

impl PluginError {
    /// An error with `code` and `message` and no hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The same error with a hint that tells the user the way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for PluginError {}
