//! Whole-file writes that survive a kill or a full disk.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::{Result, RunError};

/// Writes `bytes` to `path`: temporary name beside it, flush to disk, rename. On failure `path` is as it was.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    azr_weights::write_file(path, bytes).map_err(|source| RunError::Write { source })
}

/// Makes a rename in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a folder that may not exist.
pub(crate) fn remove_dir_if_present(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(RunError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// The way out of the errors a user can do something about, as a `\nhint: …` suffix; empty otherwise.
pub(crate) fn disk_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "\nhint: the disk is full: free space, then `--resume` the run; nothing that was saved before is lost"
        }
        io::ErrorKind::PermissionDenied => {
            "\nhint: choose a folder you may write to with `--run-dir`"
        }
        _ => "",
    }
}
