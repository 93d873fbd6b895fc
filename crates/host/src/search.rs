//! Where plugins are looked for.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::HostError;

/// The search path: the entries of `AZR_PLUGIN_PATH` (separated by `:`), then `azr/plugins` in the user's data
/// directory (`$XDG_DATA_HOME`, else `$HOME/.local/share`). An entry is a directory or a file.
pub fn search_path() -> Vec<PathBuf> {
    search_path_of(|name| env::var_os(name).filter(|value| !value.is_empty()))
}

/// The plugin files of one entry, in the order of their names: itself, or the `.so` files of a directory.
pub(crate) fn plugin_files(entry: &Path) -> Vec<PathBuf> {
    if !entry.is_dir() {
        return vec![entry.to_owned()];
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(entry)
        .into_iter()
        .flatten()
        .filter_map(|item| Some(item.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .collect();
    files.sort();
    files
}

/// Refuses a file that other users could have put there: nobody named it.
pub(crate) fn check_owner(path: &Path) -> Result<(), HostError> {
    const WRITABLE_BY_OTHERS: u32 = 0o002;
    for place in [Some(path), path.parent()].into_iter().flatten() {
        let mode = std::fs::metadata(place)
            .map_err(|error| HostError::Read { path: place.into(), reason: error.to_string() })?
            .mode();
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(HostError::Writable { path: path.into(), place: place.into() });
        }
    }
    Ok(())
}

fn search_path_of(var: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let listed = var("AZR_PLUGIN_PATH");
    let mut entries: Vec<PathBuf> = listed
        .iter()
        .flat_map(env::split_paths)
        .filter(|entry| !entry.as_os_str().is_empty())
        .collect();
    let data = var("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&var("HOME")?).join(".local/share")));
    entries
        .extend(data.map(|data| data.join("azr/plugins")).filter(|installed| installed.is_dir()));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_gives_the_order() {
        let data = tempfile::tempdir().unwrap();
        let installed = data.path().join("azr/plugins");
        std::fs::create_dir_all(&installed).unwrap();
        let found = search_path_of(|name| match name {
            "AZR_PLUGIN_PATH" => Some("/b::/a/x.so".into()),
            "XDG_DATA_HOME" => Some(data.path().into()),
            _ => None,
        });
        assert_eq!(found, [Path::new("/b"), Path::new("/a/x.so"), &installed]);
        let home = search_path_of(|name| (name == "HOME").then(|| data.path().into()));
        assert!(home.is_empty(), "a data directory without plugins is no entry: {home:?}");
    }

    #[test]
    fn a_directory_gives_its_libraries_in_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.so", "a.so", "notes.txt"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let names = plugin_files(directory.path());
        assert_eq!(names, [directory.path().join("a.so"), directory.path().join("b.so")]);
    }
}
