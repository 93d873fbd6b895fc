//! Where plugins are looked for.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::HostError;

/// The search path: the entries of `AZR_PLUGIN_PATH` (separated by `:`), then `azr/plugins` in the user's data
/// directory (`$XDG_DATA_HOME`, else `$HOME/.local/share`). An entry is a directory or a file.
///
/// [`Host::discover`](crate::Host::discover) leaves out files that somebody other than root and this user can change.
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

/// Refuses a file that another user could have put there, for nobody named it: the file and its directory must belong
/// to root or to the user this process acts as, and neither its group nor all users may write to them. Of a symbolic
/// link that holds for the directories of both the link and the file.
pub(crate) fn check_owner(path: &Path) -> Result<(), HostError> {
    let failed = |place: &Path| {
        let path = place.to_owned();
        move |error: std::io::Error| HostError::Read { path, reason: error.to_string() }
    };
    let user = rustix::process::geteuid().as_raw();
    let file = path.canonicalize().map_err(failed(path))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let places = [Some(path), directory.or(Some(Path::new("."))), file.parent()];
    for place in places.into_iter().flatten() {
        let metadata = std::fs::metadata(place).map_err(failed(place))?;
        if let Some(who) = other_writers(metadata.uid(), metadata.mode(), user) {
            return Err(HostError::Writable { path: path.into(), place: place.into(), who });
        }
    }
    Ok(())
}

/// Who besides root and `user` can change what belongs to `owner` and has the permissions `mode`.
fn other_writers(owner: u32, mode: u32, user: u32) -> Option<&'static str> {
    const ROOT: u32 = 0;
    const BY_ALL: u32 = 0o002;
    const BY_GROUP: u32 = 0o020;
    if mode & BY_ALL != 0 {
        Some("every user")
    } else if mode & BY_GROUP != 0 {
        Some("its group")
    } else if owner != ROOT && owner != user {
        Some("its owner, another user,")
    } else {
        None
    }
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
    fn only_root_and_the_user_may_be_able_to_write() {
        const USER: u32 = 1000;
        for (owner, mode, who) in [
            (USER, 0o100_755, None),
            (0, 0o040_755, None),
            (0, 0o041_777, Some("every user")),
            (USER, 0o100_702, Some("every user")),
            (USER, 0o040_775, Some("its group")),
            (0, 0o100_020, Some("its group")),
            (1001, 0o100_555, Some("its owner, another user,")),
        ] {
            assert_eq!(other_writers(owner, mode, USER), who, "{owner} {mode:o}");
        }
        assert!(other_writers(USER, 0o755, 0).is_some(), "root trusts no other user");
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
