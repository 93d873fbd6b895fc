//! Models that are part of a program, unpacked to where every engine can read them.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Staging, models_dir};
use crate::{WeightsError, atomic};

/// Unpacks a model that is part of the program, given as file names and contents, into
/// `<models_dir>/<name>-<first 8 digits of its SHA-256>/` and returns that folder. One that is there already is
/// compared with the given content and replaced where it differs; another process that does the same is waited for.
/// Touches no network.
///
/// # Errors
/// [`WeightsError::CannotUnpack`] where the folder of models cannot be written to.
pub fn unpack(name: &str, files: &[(&str, &[u8])]) -> Result<PathBuf, WeightsError> {
    unpack_in(&models_dir()?, name, files)
}

fn unpack_in(
    directory: &Path,
    name: &str,
    files: &[(&str, &[u8])],
) -> Result<PathBuf, WeightsError> {
    let folder = format!("{name}-{}", &sum(files)[..8]);
    let target = directory.join(&folder);
    let is_same = |(file, bytes): &(&str, &[u8])| {
        fs::read(target.join(file)).is_ok_and(|found| found == *bytes)
    };
    if files.iter().all(is_same) {
        return Ok(target);
    }
    let write = || {
        let staging = Staging::wait(directory, &folder)?;
        if files.iter().all(is_same) {
            return Ok(target.clone());
        }
        staging.clear()?;
        for (file, bytes) in files {
            atomic::write_file(&staging.path.join(file), bytes)?;
        }
        staging.publish()
    };
    write().map_err(|error| WeightsError::CannotUnpack {
        name: name.into(),
        reason: error.to_string(),
        hint: "set AZR_MODELS=DIR to a folder with some room that you may write to".into(),
    })
}

/// SHA-256 over names and contents, each after its length, in hexadecimal.
pub(super) fn sum(files: &[(&str, &[u8])]) -> String {
    let mut hasher = Sha256::new();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &[u8]); 2] = [("config.json", b"{}"), ("model.safetensors", b"weights")];

    #[test]
    fn a_model_is_unpacked_once_and_repaired_when_it_was_changed() {
        let directory = tempfile::tempdir().unwrap();
        let folder = unpack_in(directory.path(), "azr-nano", &FILES).unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("azr-nano-") && name.len() == 17, "{name}");
        let written = || fs::metadata(folder.join("config.json")).unwrap().modified().unwrap();
        let first = written();
        assert_eq!(unpack_in(directory.path(), "azr-nano", &FILES).unwrap(), folder);
        assert_eq!(written(), first, "nothing is written twice");
        fs::write(folder.join("model.safetensors"), "other").unwrap();
        assert_eq!(unpack_in(directory.path(), "azr-nano", &FILES).unwrap(), folder);
        assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), b"weights");
        let other = [("config.json", &b"[]"[..]), FILES[1]];
        assert_ne!(unpack_in(directory.path(), "azr-nano", &other).unwrap(), folder);
    }

    #[test]
    fn many_may_unpack_the_same_model_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(4);
        let unpacked = || {
            start.wait();
            unpack_in(directory.path(), "azr-nano", &FILES).unwrap()
        };
        let folders = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(unpacked)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(folders.iter().all(|folder| *folder == folders[0]));
        assert_eq!(fs::read(folders[0].join("model.safetensors")).unwrap(), b"weights");
    }

    #[test]
    fn where_nothing_can_be_written_the_error_says_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        // A file where the folder of models should be stops every user, root too.
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = unpack_in(&file.join("models"), "azr-nano", &FILES).unwrap_err();
        assert!(error.to_string().contains("built-in model `azr-nano`"), "{error}");
        assert!(error.hint().unwrap().contains("AZR_MODELS="));
    }
}
