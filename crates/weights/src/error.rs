//! The crate's one error: names the file, the cause and, where one is known, the way out.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be read, written or fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, for example `read`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file breaks the rules of its format.
    #[error("`{}` is damaged: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The rule it breaks.
        reason: String,
    },
    /// A file is fine, but asks for something that is not implemented.
    #[error("`{}` is not supported: {feature}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        feature: String,
    },
    /// A path is neither a GGUF file nor a Hugging Face directory.
    #[error("`{}` is not a model: {reason}", path.display())]
    NotAModel {
        /// The path.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A tensor was asked for that the file does not hold.
    #[error("`{}` has no tensor `{name}`", path.display())]
    MissingTensor {
        /// The file or directory.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has not the shape that the model's config gives it.
    #[error("tensor `{name}` of `{}` has shape {found:?}, expected {expected:?}", path.display())]
    WrongShape {
        /// The file or directory.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the config asks for.
        expected: Vec<usize>,
    },
    /// Adapters were trained on another model.
    #[error("`{}` holds adapters of another model of the same shape: `{base}`", path.display())]
    OtherBase {
        /// The adapters' file.
        path: PathBuf,
        /// Name or path that the model had.
        base: String,
    },
    /// A config contradicts itself.
    #[error("invalid model config: {reason}")]
    InvalidConfig {
        /// The contradiction.
        reason: String,
    },
    /// The iterator that a writer was given yielded an error or the wrong tensors.
    #[error("cannot write `{}`: {source}", path.display())]
    Source {
        /// The file that was being written; it was not created.
        path: PathBuf,
        /// What the iterator said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No model of this name is here.
    #[error("no model `{name}`: neither a path nor a model that was pulled")]
    ModelNotFound {
        /// What was asked for.
        name: String,
        /// How to get it.
        hint: String,
    },
    /// A name cannot be pulled.
    #[error("cannot pull `{name}`: {reason}")]
    CannotPull {
        /// What was asked for.
        name: String,
        /// Why not.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A model that is part of the program cannot be put where engines read it.
    #[error("cannot unpack the built-in model `{name}`: {reason}")]
    CannotUnpack {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A program that fetching relies on failed or is not there.
    #[error("{tool} failed: {reason}")]
    Tool {
        /// The program and what it was to do.
        tool: String,
        /// What it said, shortened.
        reason: String,
        /// The way out.
        hint: String,
    },
    /// A fetched file is not the one that was asked for.
    #[error("`{file}` was fetched with {what} {found}, expected {expected}")]
    WrongContent {
        /// The fetched file.
        file: String,
        /// `size` or `SHA-256`.
        what: &'static str,
        /// What came.
        found: String,
        /// What was announced.
        expected: String,
    },
}

impl WeightsError {
    /// What the user can do about it, if anything is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => io_hint(source.kind(), path),
            Self::Malformed { .. } => Some("fetch or write the file again".into()),
            Self::Unsupported { path, .. } | Self::MissingTensor { path, .. } | Self::WrongShape { path, .. }
                if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("adapter_")) =>
            {
                Some(
                    "supported are LoRA adapters of one rank as PEFT writes them, with the model they were made for; \
                     others can be merged by PEFT itself (`merge_and_unload`)"
                        .into(),
                )
            }
            Self::OtherBase { .. } => Some("give the model that the adapters were trained on, unchanged".into()),
            Self::Unsupported { .. } => Some(
                "supported are Llama and Qwen2 models as safetensors (F32, F16, BF16) or GGUF \
                 (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K)"
                    .into(),
            ),
            Self::NotAModel { .. } => Some(
                "give a .gguf file or a directory with config.json and model.safetensors, or a name known to \
                 `azr model pull`"
                    .into(),
            ),
            Self::ModelNotFound { hint, .. } | Self::CannotPull { hint, .. } | Self::CannotUnpack { hint, .. } | Self::Tool { hint, .. } => {
                Some(hint.clone())
            }
            Self::WrongContent { .. } => {
                Some("nothing was kept; pull again, and if it happens twice the source has changed".into())
            }
            Self::MissingTensor { .. } | Self::WrongShape { .. } | Self::InvalidConfig { .. } | Self::Source { .. } => {
                None
            }
        }
    }

    /// Turns an I/O error into this crate's, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// What a parser that does not know its file's name found wrong.
#[derive(Debug, PartialEq)]
pub(crate) enum Flaw {
    /// The bytes break the format.
    Malformed(String),
    /// The bytes ask for something that is not implemented.
    Unsupported(String),
}

impl Flaw {
    /// The crate's error for this flaw of the file at `path`.
    pub(crate) fn at(self, path: &Path) -> WeightsError {
        let path = path.to_path_buf();
        match self {
            Self::Malformed(reason) => WeightsError::Malformed { path, reason },
            Self::Unsupported(feature) => WeightsError::Unsupported { path, feature },
        }
    }
}

fn io_hint(kind: io::ErrorKind, path: &Path) -> Option<String> {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!(
            "the disk that holds `{}` is full: free some space or choose another place",
            path.display()
        )),
        io::ErrorKind::PermissionDenied => {
            Some("check the permissions of the path and of the folders above it".into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_gets_a_hint() {
        let full = WeightsError::io("write", Path::new("/m/model.safetensors"))(
            io::ErrorKind::StorageFull.into(),
        );
        assert!(full.to_string().starts_with("cannot write `/m/model.safetensors`: "));
        assert!(full.hint().is_some_and(|hint| hint.contains("full")));
    }
}
