//! Whole-file writes that survive a kill or a full disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::{Result, RunError};

/// Writes `bytes` to `path`: temporary name beside it, flush to disk, rename. On failure `path` is as it was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        sync_directory(directory)
    };
    write().map_err(RunError::io("write", path))
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
pub fn disk_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\nhint: the disk is full: free space, then `--resume` the run; nothing that was saved before is lost"
        }
        io::ErrorKind::PermissionDenied => {
            "\nhint: choose a folder you may write to with `--run-dir`"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_and_leaves_no_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("a.txt");
        let error = write_atomically(&path, b"x").unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
        assert!(error.contains("a.txt"), "{error}");
    }
}
