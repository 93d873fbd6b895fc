//! The model that is part of this binary.

use std::path::PathBuf;

use anyhow::Result;
use azr_run::is_nano;
use azr_weights::models;

/// Files of `models/azr-nano`, which `cargo xtask pretrain-nano` makes.
const FILES: [(&str, &[u8]); 4] = [
    ("config.json", include_bytes!("../../../models/azr-nano/config.json")),
    ("model.safetensors", include_bytes!("../../../models/azr-nano/model.safetensors")),
    ("tokenizer.json", include_bytes!("../../../models/azr-nano/tokenizer.json")),
    ("tokenizer_config.json", include_bytes!("../../../models/azr-nano/tokenizer_config.json")),
];

/// Where the built-in model lies, if `model` means it; unpacks it where it is not there yet.
pub(crate) fn unpacked(model: &str) -> Result<Option<PathBuf>> {
    if !is_nano(model) {
        return Ok(None);
    }
    Ok(Some(models::unpack("azr-nano", &FILES)?))
}

/// Its size.
pub(crate) fn n_bytes() -> usize {
    FILES.iter().map(|(_, bytes)| bytes.len()).sum()
}
