//! What can go wrong with an evaluation.

use std::io;
use std::path::{Path, PathBuf};

use azr_plugin::PluginError;
use thiserror::Error;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, EvalError>;

/// What can go wrong with an evaluation.
#[derive(Debug, Error)]
pub enum EvalError {
    /// A file could not be read or written.
    #[error("cannot {action} `{}`: {source}", path.display())]
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
}
