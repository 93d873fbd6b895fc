//! Read-only memory maps: the crate's only unsafe code.
#![expect(unsafe_code, reason = "mapping a file is unsafe because others may change the file")]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::WeightsError;

/// Maps the whole file at `path` for reading.
pub(crate) fn map(path: &Path) -> Result<Mmap, WeightsError> {
    let file = File::open(path).map_err(WeightsError::io("open", path))?;
    let metadata = file.metadata().map_err(WeightsError::io("open", path))?;
    if !metadata.is_file() {
        return Err(WeightsError::NotAModel {
            path: path.to_path_buf(),
            reason: "not a regular file".into(),
        });
    }
    // SAFETY: the map is read-only and only ever read as bytes, for which every content is valid. That nobody
    // shortens or rewrites the file in place while it is mapped is the crate's documented condition; our own
    // writers replace files by renaming.
    unsafe { Mmap::map(&file) }.map_err(WeightsError::io("map", path))
}
