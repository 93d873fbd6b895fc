//! What can go wrong with an evaluation.

use std::io;
use std::path::{Path, PathBuf};

use azr_plugin::{ErrorCode, PluginError};
use azr_selfplay::SelfPlayError;
use azr_weights::WeightsError;
use thiserror::Error;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, EvalError>;

/// What can go wrong with an evaluation. The text ends with a `hint:` line where there is a way out.
#[derive(Debug, Error)]
pub enum EvalError {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}{}", path.display(), disk_hint(source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a file is not what its format says.
    #[error("`{}` line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// What was asked for makes no evaluation.
    #[error("{message}\nhint: {hint}")]
    Usage {
        /// What is wrong.
        message: String,
        /// The way out.
        hint: String,
    },
    /// A new evaluation was to be made where one exists.
    #[error("`{}` already holds an evaluation\nhint: go on with it by `--resume {}`, or choose another `--out`", path.display(), path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no evaluation.
    #[error("`{}` holds no evaluation: it has no `{file}`", path.display())]
    NotAnEvaluation {
        /// The folder.
        path: PathBuf,
        /// The file that is missing.
        file: &'static str,
    },
    /// Something that the evaluation was started with is another now.
    #[error("`{}` was started with another {what}\nhint: bring back what it was started with, or start a new evaluation", path.display())]
    Changed {
        /// The evaluation's folder.
        path: PathBuf,
        /// What changed, in words.
        what: String,
    },
    /// Another process works in the folder.
    #[error("another process is using the evaluation `{}`\nhint: wait for it, or choose another `--out`", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be read or replaced as a whole; what was there before is intact.
    #[error(transparent)]
    File(#[from] WeightsError),
    /// A server did not answer as it should.
    #[error(
        "{url} did not answer item `{item}`: {reason}\nhint: what was graded before is kept: `--resume` goes on"
    )]
    Server {
        /// The address that was asked.
        url: String,
        /// The item it was asked about.
        item: String,
        /// What went wrong.
        reason: String,
    },
    /// An engine broke its contract.
    #[error("{0}")]
    Contract(String),
    /// Prompts could not be turned into tokens.
    #[error(transparent)]
    Prompts(#[from] SelfPlayError),
    /// An engine failed.
    #[error(transparent)]
    Engine(#[from] PluginError),
}

impl EvalError {
    /// For `map_err`: an I/O error with what was tried on which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn cancelled() -> Self {
        Self::Engine(PluginError::new(ErrorCode::Cancelled, "cancelled"))
    }

    /// Whether the caller's context asked to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Self::Engine(error) => error.code == ErrorCode::Cancelled,
            Self::Prompts(error) => *error == SelfPlayError::Cancelled,
            _ => false,
        }
    }

    /// Whether what the user wrote is wrong, rather than that something failed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Usage { .. })
    }
}

fn disk_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "\nhint: the disk is full: free space, then `--resume`; what was graded before is kept"
        }
        _ => "",
    }
}
