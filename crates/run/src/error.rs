//! What can go wrong with a run folder.

use std::path::{Path, PathBuf};

use azr_weights::WeightsError;

use crate::files::disk_hint;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, RunError>;

/// A failure of a run folder or its configuration. The text ends with a `hint:` line where there is a way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A configuration file or an override is wrong.
    #[error(
        "invalid configuration: {message}\nhint: `azr train --help` names the overrides; a run's own `config.toml` shows every key"
    )]
    Config {
        /// What is wrong, with the key.
        message: String,
    },
    /// Reading or writing failed.
    #[error("cannot {action} `{path}`: {source}{hint}", path = path.display(), hint = disk_hint(source))]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A whole file could not be written; what was there before is intact.
    #[error("{source}{hint}", hint = source.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Write {
        /// The cause, with the file's name.
        source: WeightsError,
    },
    /// A file of the run does not hold what it should.
    #[error("`{path}` is damaged at line {line}: {message}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// 1-based line; 0 when it concerns the whole file.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A new run was to be made where one exists.
    #[error("`{path}` already holds a run\nhint: go on with it by `--resume {path}`, or choose another `--run-dir`", path = path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder to resume is no run.
    #[error("`{path}` is not a run folder: it has no `config.toml`", path = path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Something that the run was started with has another content now.
    #[error("`{path}` was started with another {what}\nhint: bring back what it was started with, or start a new run", path = path.display())]
    Changed {
        /// The run.
        path: PathBuf,
        /// What changed, in words.
        what: String,
    },
    /// Another process works in the folder.
    #[error("another process is using the run `{path}`\nhint: wait for it, or choose another `--run-dir`", path = path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// Saving the model into the checkpoint failed.
    #[error("cannot save checkpoint `{path}`: {source}\nhint: earlier checkpoints of the run are intact; `--resume` goes on from the newest", path = path.display())]
    Save {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What the engine said.
        source: azr_plugin::PluginError,
    },
}

impl RunError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
