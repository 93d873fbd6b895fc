//! The fixture plugins: built as a third party would build them, and patched where a case needs it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use azr_host::Host;

use crate::built::built;

/// The plugin with one engine of each kind, all named `echo`.
pub(crate) fn echo_file() -> PathBuf {
    built().join("libazr_fixture_echo.so")
}

/// The plugin with the backend `twin`.
pub(crate) fn twin_file() -> PathBuf {
    built().join("libazr_fixture_twin.so")
}

/// The plugin with the domain `bad`, whose option `fault` makes it misbehave.
pub(crate) fn bad_file() -> PathBuf {
    built().join("libazr_fixture_bad.so")
}

/// A host with the echo engines linked in.
pub(crate) fn builtin_host() -> Host {
    let mut host = Host::new();
    host.register_builtin(azr_fixture_echo::plugin_module()).unwrap();
    host
}

/// A host with the echo engines loaded from their file.
pub(crate) fn loaded_host() -> Host {
    let mut host = Host::new();
    host.load_file(echo_file()).unwrap();
    host
}

/// A directory that is removed when it is dropped.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The error with all its causes, paths below `directory` shortened to `<dir>`.
pub(crate) fn text(error: &dyn std::error::Error, directory: &Path) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, "\ncause: {error}").unwrap();
        cause = error.source();
    }
    text.replace(directory.to_str().unwrap(), "<dir>")
}

/// A copy of the echo plugin in which every `from` is replaced by the equally long `to`.
pub(crate) fn patched(directory: &Path, from: &str, to: &str) -> PathBuf {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(echo_file()).unwrap();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, w)| *w == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "{from} is not in the file");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let path = directory.join("patched.so");
    fs::write(&path, bytes).unwrap();
    path
}
