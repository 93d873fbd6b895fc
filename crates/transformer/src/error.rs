//! What can go wrong in the transformer, and how a user reads it.

use azr_plugin::{ErrorCode, PluginError};

use crate::device::DeviceError;
use crate::memory::MemoryUse;

/// An error of the transformer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TransformerError {
    /// The device failed or its memory ran out.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The caller passed something that cannot be computed.
    #[error("{0}")]
    InvalidInput(String),
    /// The model's configuration is not one of a transformer that exists.
    #[error("model configuration: {0}")]
    InvalidConfig(String),
    /// A parameter of that name is not part of the model.
    #[error("the model has no parameter `{0}`")]
    UnknownParameter(String),
    /// A parameter came with another number of values than its shape has.
    #[error("parameter `{name}` has {found} values, its shape {shape:?} has {expected}")]
    WrongLength {
        /// Hugging Face name.
        name: String,
        /// Shape by the configuration.
        shape: Vec<usize>,
        /// Values by the configuration.
        expected: usize,
        /// Values that came.
        found: usize,
    },
    /// One sample alone needs more key-value cache than the limit allows.
    #[error(
        "a prompt of {prompt} tokens with {new} new ones needs {needed_mib} MiB of key-value cache, the limit is {limit_mib} MiB"
    )]
    CacheTooSmall {
        /// Prompt tokens.
        prompt: usize,
        /// New tokens.
        new: usize,
        /// What they need.
        needed_mib: u64,
        /// What there is.
        limit_mib: u64,
    },
    /// The device's memory ran out although what was asked for seemed to fit, or nobody knew what is free.
    #[error(
        "{}: out of memory, {} for {what} could not be had",
        purpose.as_str(),
        Size(*requested_bytes)
    )]
    OutOfMemory {
        /// What for.
        purpose: MemoryUse,
        /// What could not be had.
        what: &'static str,
        /// Its size.
        requested_bytes: u64,
    },
    /// A call needs more memory than is free.
    #[error("{} needs {needed_mib} MiB more memory, {free_mib} MiB are free", purpose.as_str())]
    NotEnoughMemory {
        /// What for.
        purpose: MemoryUse,
        /// What it needs.
        needed_mib: u64,
        /// What there is.
        free_mib: u64,
    },
    /// The model computed a log-probability that is not a finite number.
    #[error("the model's log-probabilities are not finite: its weights are broken")]
    NotFinite,
    /// The caller's context was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// Result of a call into the transformer.
pub type Result<T> = std::result::Result<T, TransformerError>;

impl TransformerError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidInput(message.into())
    }

    /// The same, with what memory was needed for where it ran out: the device does not know, and the way out depends on it.
    pub(crate) fn of(self, purpose: MemoryUse) -> Self {
        match self {
            Self::Device(DeviceError::OutOfMemory { requested_bytes, purpose: what }) => {
                Self::OutOfMemory { purpose, what, requested_bytes }
            }
            other => other,
        }
    }
}

/// A number of bytes as people read it.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 20 => write!(f, "{} KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{} MiB", bytes.div_ceil(1 << 20)),
        }
    }
}

impl From<TransformerError> for PluginError {
    fn from(error: TransformerError) -> Self {
        let (code, hint) = match &error {
            TransformerError::Device(DeviceError::OutOfMemory { .. }) => (
                ErrorCode::Unavailable,
                Some(
                    "use a smaller model, or lower the backend options `micro_batch_rows` (training) and `kv_cache_mib` (generation)",
                ),
            ),
            TransformerError::NotEnoughMemory { purpose, .. }
            | TransformerError::OutOfMemory { purpose, .. } => {
                (ErrorCode::Unavailable, Some(purpose.hint()))
            }
            TransformerError::CacheTooSmall { .. } => (
                ErrorCode::InvalidConfig,
                Some("raise the backend option `kv_cache_mib` or lower `max_new_tokens`"),
            ),
            TransformerError::InvalidConfig(_)
            | TransformerError::UnknownParameter(_)
            | TransformerError::WrongLength { .. }
            | TransformerError::InvalidInput(_) => (ErrorCode::InvalidInput, None),
            TransformerError::Cancelled => (ErrorCode::Cancelled, None),
            TransformerError::NotFinite => (
                ErrorCode::Internal,
                Some("go back to an earlier checkpoint and lower the learning rate"),
            ),
            TransformerError::Device(_) => (
                ErrorCode::Internal,
                Some(
                    "the newest checkpoint is whole: `azr train --resume RUN` goes on from there, with `--backend cpu` where the device does not come back",
                ),
            ),
        };
        let plugin_error = Self::new(code, error.to_string());
        match hint {
            Some(hint) => plugin_error.with_hint(hint),
            None => plugin_error,
        }
    }
}
