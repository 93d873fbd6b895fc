//! What a GPU is, for people.

use std::sync::PoisonError;

use crate::Cuda;
use crate::error::OpenError;

/// A GPU and its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The GPU's name.
    pub name: String,
    /// Its compute capability.
    pub capability: (u32, u32),
    /// All of its memory, in bytes.
    pub total_bytes: u64,
    /// What is free of it.
    pub free_bytes: u64,
    /// The CUDA version that the driver is for, major and minor.
    pub driver: (u32, u32),
}

impl Cuda {
    /// What this GPU is.
    ///
    /// # Errors
    /// The driver.
    pub fn about(&self) -> Result<About, OpenError> {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.driver().about()
    }
}
