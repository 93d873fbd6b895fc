//! Files that are either whole or not there: written under a temporary name, flushed, renamed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::WeightsError;

/// Writes `bytes` to `path`, replacing what was there. On an error the old file stays as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WeightsError> {
    write_file_with(path, |file| file.write_all(bytes).map_err(WeightsError::io("write", path)))
}

/// Lets `fill` write a file that appears under `path` only once it is complete and on disk.
/// On an error the temporary file is removed and the old file stays as it was.
pub(crate) fn write_file_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), WeightsError>,
) -> Result<(), WeightsError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    // Temporary files are private by default; this one becomes an ordinary file (the umask still applies).
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary =
        builder.tempfile_in(directory).map_err(WeightsError::io("create a file in", directory))?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file());
    fill(&mut writer)?;
    writer.flush().map_err(WeightsError::io("write", path))?;
    drop(writer);
    temporary.as_file().sync_all().map_err(WeightsError::io("write", path))?;
    temporary.persist(path).map_err(|error| WeightsError::io("replace", path)(error.error))?;
    sync_directory(directory)
}

/// Makes renames inside `directory` survive a power failure.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), WeightsError> {
    if cfg!(unix) {
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(WeightsError::io("flush", directory))?;
    }
    Ok(())
}

/// Creates `directory` and its parents.
pub(crate) fn create_directory(directory: &Path) -> Result<(), WeightsError> {
    fs::create_dir_all(directory).map_err(WeightsError::io("create", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_the_old_file_and_leaves_no_temporary_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        write_file(&path, b"old").unwrap();
        let failed = write_file_with(&path, |file| {
            file.write_all(b"half").map_err(WeightsError::io("write", &path))?;
            Err(WeightsError::InvalidConfig { reason: "stopped".into() })
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_error_names_the_folder_that_cannot_take_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = write_file(&file.join("below"), b"x").unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn written_files_are_readable_for_others_as_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (ours, plain) = (directory.path().join("ours"), directory.path().join("plain"));
        write_file(&ours, b"x").unwrap();
        fs::write(&plain, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
