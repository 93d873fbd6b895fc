//! The model that is part of this binary.

use std::path::{Path, PathBuf};

use anyhow::Result;
use azr_run::NANO;
use azr_weights::models;

/// Files of `models/azr-nano`; empty while the repository has none.
const FILES: &[(&str, &[u8])] = &[];

/// Where the built-in model lies, if `model` means it; unpacks it where it is not there yet. A path of that name comes
/// first.
pub(crate) fn unpacked(model: &str) -> Result<Option<PathBuf>> {
    if model != NANO || !is_built_in() || Path::new(model).exists() {
        return Ok(None);
    }
    Ok(Some(models::unpack("azr-nano", FILES)?))
}

/// Whether this binary has it.
pub(crate) fn is_built_in() -> bool {
    !FILES.is_empty()
}

/// Its size.
pub(crate) fn n_bytes() -> usize {
    FILES.iter().map(|(_, bytes)| bytes.len()).sum()
}
